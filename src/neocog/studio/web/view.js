// The one view: input, network, why, time. A host gives it a model; panels of others stand in its zones.

import { bound } from "./colour.js";
import { calm, fill, h, inside, offset, say } from "./dom.js";
import { answerPanel } from "./answer.js";
import { Row } from "./maps.js";
import { Network } from "./network.js";
import { inputPanel } from "./pad.js";
import { read, write } from "./state.js";
import { terms } from "./terms.js";
import { timePanel } from "./timeline.js";
import { whyPanel } from "./why.js";

const ZONES = ["top", "left", "middle", "right", "bottom"];
const SLIDE = 420; // milliseconds a place, while the kernel slides by itself
const WIRES = 24; // lines from patches to the picked number
const VECTOR = 16; // numbers of a vector that are framed
const THROUGH = 4e8; // operations that the curve of one number may cost

/**
 * Draw a model into an element. `panels` are `{zone, title, id, mount(el, context)}`; `page` says that the view
 * owns the whole page: it fills the window and keeps its state in the URL, which begins as `begin` says.
 * Returns `{state, context, redraw, destroy}`.
 */
export function render({ model, el, panels = [], page = false, begin = "" }) {
  const events = new Map();
  const undo = [];
  const linked = page ? { ...read(begin), ...read(location.hash) } : {};
  const state = { ...linked, epoch: undefined, sample: 0, at: null, hover: null, trail: [], image: null, shift: [0, 0], open: linked.open ?? [], hide: linked.hide ?? [] };
  let network = null;
  let rows = new Map();
  let values = null;
  let source = "sample";
  let frame = 0;
  let dirty = new Set();
  let slider = 0;
  let writer = 0;
  let spare = null;
  let places = null; // of the rows, for the wires
  let gone = false;
  let shy = false; // whether the page stays where it is though another number is pinned

  const zones = Object.fromEntries(ZONES.map((name) => [name, h(`div.zone.${name}`)]));
  const heading = h("h1", {}, model.title ?? "neocog");
  const notes = h("div.notes");
  const problem = h("p.problem", { role: "alert", hidden: true });
  const status = h("p.unseen", { role: "status" });
  const wires = h("svg:svg.wires", { "aria-hidden": "true" });
  const legend = h(
    "div.legend",
    {},
    h("h2", {}, "Network"),
    h("span.ramp", { "aria-hidden": "true" }, h("span", {}, "−"), h("i"), h("span", {}, "0"), h("i"), h("span", {}, "+")),
    h("span.hint", {}, "Below zero blue, with a dash; above zero orange. Point at a number to see where it comes from, click to keep it."),
  );
  const layers = h("div.layers", {}, legend, wires);
  zones.top.append(h("div.title", {}, heading, notes));
  zones.middle.append(layers);
  const root = h(
    `div.neocog${page ? ".page" : ""}`,
    {},
    h("header", {}, zones.top),
    problem,
    h("main", {}, zones.left, zones.middle, zones.right),
    h("footer", {}, zones.bottom),
    status,
  );
  fill(el, root);

  const context = {
    model,
    state,
    root,
    get network() {
      return network;
    },
    get description() {
      return model.description;
    },
    /** Return the shape of the input, [C, H, W]. */
    get shape() {
      return model.description.input;
    },
    get tone() {
      return model.description.tone ?? "white";
    },
    get classNames() {
      return model.description.class_names;
    },
    /** Return "sample" or "pad": where the input comes from. */
    get source() {
      return source;
    },
    node,
    values: current,
    pick,
    explain,
    through,
    on(event, handler) {
      if (!events.has(event)) events.set(event, new Set());
      events.get(event).add(handler);
      return () => events.get(event).delete(handler);
    },
    set,
    image,
    follow,
    /** Say something to those who hear the page. */
    announce(text) {
      say(status, text);
    },
    fail,
    slide,
    get sliding() {
      return slider !== 0;
    },
  };

  /** Return the node of a name. */
  function node(name) {
    return model.description ? nodes().find((found) => found.name === name) : undefined;
  }

  /** Return all nodes, the input first. */
  function nodes() {
    const { input, nodes: found } = model.description;
    const first = { name: "input", kind: "input", inputs: [], shape: input, settings: {}, arrays: {}, parameters: 0, receptive: [1, 1] };
    return found.some(({ name }) => name === "input") ? found : [first, ...found];
  }

  /** Return the epoch shown at first. */
  function beginning() {
    return model.start ?? model.epochs.at(-1);
  }

  /** Return the image that the network sees, pushed by the arrow keys if it was. */
  function image() {
    const base = state.image ?? model.samples[state.sample]?.image ?? new Float32Array(context.shape.reduce((a, b) => a * b, 1));
    const [down, right] = state.shift;
    if (!down && !right) return base;
    return shifted(base, context.shape, down, right);
  }

  /** Return all values of the network for the image shown: a Map of node name to {shape, data}. */
  function current() {
    if (values) return values;
    try {
      if (model.description.page === false) {
        const other = state.image || state.shift.some(Boolean) ? image() : null;
        values = new Map(model.maps(state.epoch, state.sample, other) ?? []);
      } else {
        const arrays = model.weights(state.epoch);
        if (!arrays) values = new Map();
        else {
          network.load(arrays);
          values = network.forward(image());
        }
      }
    } catch (error) {
      values = new Map();
      fail(`The network could not be computed: ${error.message}.`);
    }
    if (!values.has("input")) values.set("input", { shape: context.shape, data: Float64Array.from(image()) });
    return values;
  }

  /** Return the number looked at: that under the pointer, else the pinned one. */
  function pick() {
    return state.hover ?? state.at;
  }

  /** Return the terms of a number, null where the page has none. */
  function explain(place) {
    if (!place || place.node === "input" || !current().has(place.node)) return null;
    const arrays = network ? null : model.weights(state.epoch);
    if (!network && !Object.values(node(place.node)?.arrays ?? {}).every((name) => arrays?.has(name))) return null;
    try {
      const found = terms(network ?? { description: model.description, arrays }, current(), place.node, place.index);
      const size = found.parts.reduce((sum, { product }) => sum + Math.abs(product), 0);
      return network || Math.abs(found.rest) > 1e-5 * size ? found : { ...found, rest: 0 }; // maps of Python's are float32
    } catch (error) {
      return { value: NaN, formula: "", parts: [], rest: 0, problem: error.message };
    }
  }

  /** Return a number of the image shown at each stored epoch, `[{epoch, value}]`; empty where that costs too much. */
  function through({ node: name, index }) {
    const { description, epochs } = model;
    const work = description.nodes.reduce((sum, { flops }) => sum + flops, 0) * epochs.length;
    if (description.page === false || epochs.length < 2 || work > THROUGH) return [];
    const seen = image();
    const own = epochs.map((epoch) => {
      const arrays = model.weights(epoch);
      if (!arrays) return { epoch, value: NaN };
      spare ??= new Network(description);
      spare.load(arrays);
      const { shape, data } = spare.forward(seen).get(name);
      return { epoch, value: data[offset(shape, index)] };
    });
    return own.filter(({ value }) => Number.isFinite(value));
  }

  /** Change what is shown; unknown epochs, samples and places become the nearest that there are. */
  function set(changes) {
    const told = new Set();
    if ("epoch" in changes) {
      state.epoch = nearest(model.epochs, changes.epoch);
      told.add("epoch");
    }
    if ("sample" in changes) {
      state.sample = Math.min(Math.max(0, model.samples.length - 1), Math.max(0, changes.sample | 0));
      state.image = null;
      state.shift = [0, 0];
      source = "sample";
      told.add("input");
    }
    if ("image" in changes) {
      state.image = changes.image;
      state.shift = [0, 0];
      source = changes.image ? "pad" : "sample";
      told.add("input");
    }
    if ("shift" in changes) {
      state.shift = changes.shift;
      told.add("input");
    }
    if ("at" in changes) {
      if (changes.at) stop();
      state.at = valid(changes.at);
      state.hover = null;
      state.trail = changes.trail ?? [];
      shy = changes.reveal === false;
      told.add("pick");
    }
    if ("hover" in changes) {
      state.hover = valid(changes.hover);
      told.add("pick");
    }
    if ("open" in changes) {
      state.open = changes.open;
      told.add("open");
    }
    for (const [key, value] of Object.entries(changes)) {
      if (!["epoch", "sample", "image", "shift", "at", "hover", "open", "trail", "reveal"].includes(key)) state[key] = value;
    }
    if ("hide" in changes) hide();
    if (told.has("epoch") || told.has("input")) values = null;
    for (const event of told) dirty.add(event);
    soon();
    if (page && !("hover" in changes) && !("shift" in changes)) remember();
  }

  /** Return a place if the network has it, else null. */
  function valid(place) {
    if (!place) return null;
    const found = node(place.node);
    return found && inside(found.shape, place.index) ? { node: place.node, index: [...place.index] } : null;
  }

  /** Follow a term to the number that it comes from; the way back is kept. */
  function follow(place) {
    const from = pick();
    stop();
    set({ at: place, trail: from ? [...state.trail, from] : [] });
  }

  /** Draw what has changed, with the next frame of the screen. */
  function soon() {
    if (!frame && !gone) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (rows.size && !rows.values().next().value.plan) return; // no room yet: drawn once there is some
    const told = dirty;
    dirty = new Set();
    if (!rows.size) return;
    problem.hidden = problem.dataset.kept !== "true";
    if (told.has("epoch") || told.has("input") || told.has("model")) {
      const found = current();
      for (const [name, row] of rows) {
        row.arrays = model.weights(state.epoch);
        row.draw(found.get(name)?.data);
      }
      told.add("values");
    }
    if (told.has("open") || told.has("model")) {
      for (const [name, row] of rows) row.open(state.open.includes(name), model.weights(state.epoch));
    }
    if (told.has("open") || told.has("size") || told.has("model")) places = null;
    if (told.has("values") || told.has("pick") || told.has("open") || told.has("size")) mark(told.has("pick"));
    for (const event of told) {
      for (const handler of [...(events.get(event) ?? [])]) {
        try {
          handler(context);
        } catch (error) {
          fail(`A part of the page failed: ${error.message}.`);
        }
      }
    }
    if (told.has("pick")) reveal();
  }

  /** On a phone, where the sums cover the lower half, bring the pinned number into the upper one. */
  function reveal() {
    if (!page || shy || !state.at || !matchMedia("(max-width: 860px)").matches) return;
    const row = rows.get(state.at.node);
    const box = row?.box(state.at.index);
    if (!box) return;
    const y = row.stage.getBoundingClientRect().top + box.y;
    if (y < 0.08 * innerHeight || y > 0.36 * innerHeight) scrollBy({ top: y - 0.3 * innerHeight, behavior: calm() ? "auto" : "smooth" });
  }

  /** Frame the picked number, its patch in the rows that it reads, and the wires between. */
  function mark(moved) {
    const place = pick();
    const marks = new Map([...rows.keys()].map((name) => [name, []]));
    const lines = [];
    context.found = explain(place);
    if (place) {
      const row = rows.get(place.node);
      const box = row?.box(place.index);
      if (box) marks.get(place.node).push({ box, kind: "pick" });
      if (context.found) {
        for (const group of patches(context.found.parts, rows)) {
          marks.get(group.from)?.push({ box: group.box, kind: "patch", weight: group.weight });
          if (box) lines.push({ ...group, to: box, target: place.node });
        }
      }
      if (moved && row && !slider) row.tell(place.index);
    }
    for (const [name, row] of rows) row.frame(marks.get(name));
    wire(lines);
  }

  /** Draw thin lines from the corners of the patches to the picked number. */
  function wire(lines) {
    if (!lines.length && !wires.childElementCount) return;
    if (!places) {
      const origin = layers.getBoundingClientRect();
      wires.setAttribute("width", origin.width);
      wires.setAttribute("height", origin.height);
      places = new Map(
        [...rows].map(([name, { stage }]) => {
          const bounds = stage.getBoundingClientRect();
          return [name, { x: bounds.left - origin.left, y: bounds.top - origin.top }];
        }),
      );
    }
    const at = (name) => places.get(name);
    const drawn = lines.slice(0, WIRES).map(({ from, box, to, target, weight }) => {
      const a = at(from);
      const b = at(target);
      const d =
        `M${a.x + box.x} ${a.y + box.y + box.h}L${b.x + to.x} ${b.y + to.y}` +
        `M${a.x + box.x + box.w} ${a.y + box.y + box.h}L${b.x + to.x + to.w} ${b.y + to.y}`;
      return h("svg:path", { d, opacity: (0.12 + 0.5 * weight).toFixed(2) });
    });
    fill(wires, drawn);
  }

  /** Write the state into the URL soon, without a new entry in the history. */
  function remember() {
    clearTimeout(writer);
    writer = setTimeout(writeHash, 200); // browsers refuse to write it hundreds of times
  }

  function writeHash() {
    const usual = { epoch: beginning(), sample: model.sample ?? 0 };
    const shown = { ...state, sample: source === "sample" ? state.sample : usual.sample };
    try {
      history.replaceState(null, "", write(shown, usual) || location.pathname + location.search);
    } catch {
      // A page from a file in some browsers may not; nothing is lost but the link.
    }
  }

  /** Say in the page what went wrong. */
  function fail(text, kept = false) {
    say(problem, text);
    problem.hidden = false;
    problem.dataset.kept = String(kept);
  }

  /** Let the kernel slide over the first convolution by itself, until the pointer takes it. */
  function slide(wanted = true) {
    stop();
    if (!wanted || calm() || model.description?.page === false) return;
    const first = model.description.nodes.find(({ kind, shape }) => kind === "Conv2D" && shape.length === 3);
    if (!first) return;
    let place = 0;
    const [, height, width] = first.shape;
    const move = () => {
      if (document.hidden) return;
      set({ hover: { node: first.name, index: [0, Math.floor(place / width) % height, place % width] } });
      place = (place + 1) % (height * width);
    };
    slider = setInterval(move, SLIDE);
    move();
  }

  /** End the sliding. */
  function stop() {
    if (slider) clearInterval(slider);
    slider = 0;
  }

  const actions = {
    hover(name, index) {
      if (index) stop();
      else if (slider) return;
      const now = state.hover;
      if (!index && !now) return;
      if (index && now && now.node === name && now.index.join() === index.join()) return;
      set({ hover: index ? { node: name, index } : null });
    },
    pick(name, index) {
      stop();
      set({ at: { node: name, index } });
    },
    focus(name) {
      stop();
      const place = state.at?.node === name ? state.at.index : rows.get(name).largest();
      set({ at: { node: name, index: place } });
    },
    current(name) {
      const place = pick();
      return place?.node === name ? place.index : undefined;
    },
    open(name) {
      const open = state.open.includes(name) ? state.open.filter((other) => other !== name) : [...state.open, name];
      set({ open });
    },
    moved() {
      dirty.add("size");
      soon();
    },
  };

  /** Build the rows of a network, or say why there are none. */
  function build() {
    values = spare = null;
    say(heading, model.title ?? "neocog");
    fill(notes, (model.notes ?? []).map((text) => h("p", {}, text)));
    for (const row of rows.values()) row.element.remove();
    rows = new Map();
    if (!model.description) {
      network = null;
      fail("There is no network to show yet.", true);
      return;
    }
    problem.dataset.kept = "false";
    try {
      network = model.description.page === false ? null : new Network(model.description);
    } catch (error) {
      network = null;
      fail(`This network cannot be shown: ${error.message}.`, true);
      return;
    }
    for (const each of nodes()) {
      const isInput = each.name === "input";
      const classNames = each.name === model.description.output ? model.description.class_names : null;
      const row = new Row(each, { tone: context.tone, isInput, classNames }, actions);
      rows.set(each.name, row);
      layers.append(row.element);
    }
    state.epoch = nearest(model.epochs, state.epoch ?? beginning());
    state.sample = Math.min(Math.max(0, model.samples.length - 1), state.sample);
    state.at = valid(state.at);
    state.hover = null;
    for (const event of ["model", "epoch", "input", "pick", "open"]) dirty.add(event);
    soon();
  }

  /** Fit the rows into the width that there is. */
  function resize() {
    if (!rows.size) return;
    const first = rows.values().next().value;
    const width = first.stage.parentElement.clientWidth;
    if (!width) return;
    for (const row of rows.values()) {
      if (row.width === Math.floor(width) && row.plan) continue;
      row.layout(width);
      row.draw(values?.get(row.node.name)?.data);
    }
    dirty.add("size");
    soon();
  }

  /** Hide the panels and the settings that the state names. */
  function hide() {
    for (const part of root.querySelectorAll("[data-panel], [data-setting]")) {
      part.hidden = state.hide.includes(part.dataset.panel ?? part.dataset.setting);
    }
  }

  /** Put a panel into its zone. */
  function mount({ zone, title, id, mount: build }) {
    const body = h("div.body");
    const panel = h(`section.panel${id ? `.${id}` : ""}`, { "data-panel": id ?? title, "aria-label": title }, title ? h("h2", {}, title) : null, body);
    (zones[zone] ?? zones.left).append(panel);
    try {
      const end = build(body, context);
      if (typeof end === "function") undo.push(end);
    } catch (error) {
      fill(body, h("p.problem", {}, `"${title}" cannot be shown: ${error.message}.`));
    }
  }

  state.epoch = linked.epoch;
  state.sample = linked.sample ?? model.sample ?? 0;
  state.at = linked.at ?? null;
  build();
  for (const panel of [inputPanel, answerPanel, whyPanel, timePanel, ...panels]) mount(panel);
  hide();
  resize();

  const watch = new ResizeObserver(resize);
  watch.observe(zones.middle);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => {
    dirty.add("model");
    dirty.add("values");
    soon();
  };
  scheme.addEventListener("change", repaint);
  const keys = (event) => {
    if (event.key === "Escape" && (state.at || state.hover)) {
      stop();
      set({ at: null });
    }
  };
  root.addEventListener("keydown", keys);
  const travel = () => {
    const found = read(location.hash);
    set({ epoch: found.epoch ?? beginning(), sample: found.sample ?? model.sample ?? 0, at: found.at ?? null, open: found.open ?? [], hide: found.hide ?? [] });
  };
  if (page) addEventListener("hashchange", travel);
  undo.push(
    model.on?.("model", () => {
      build();
      resize();
    }) ?? (() => {}),
    model.on?.("epochs", () => {
      dirty.add("epochs");
      soon();
    }) ?? (() => {}),
  );
  if (!state.at && page && rows.size) slide();

  return {
    state,
    context,
    redraw() {
      values = null;
      dirty.add("epoch");
      soon();
    },
    destroy() {
      gone = true;
      stop();
      clearTimeout(writer);
      cancelAnimationFrame(frame);
      watch.disconnect();
      scheme.removeEventListener("change", repaint);
      removeEventListener("hashchange", travel);
      for (const end of undo) end();
      root.remove();
    },
  };
}

/** Return the nearest of the sorted epochs. */
function nearest(epochs, wanted) {
  if (!epochs.length) return 0;
  return epochs.reduce((best, epoch) => (Math.abs(epoch - wanted) < Math.abs(best - wanted) ? epoch : best), epochs.at(-1));
}

/** Return an image (C, H, W) moved down and right; what comes in repeats the border. */
export function shifted(image, [channels, height, width], down, right) {
  const found = new Float32Array(image.length);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const from = Math.min(height - 1, Math.max(0, i - down));
        const left = Math.min(width - 1, Math.max(0, j - right));
        found[(c * height + i) * width + j] = image[(c * height + from) * width + left];
      }
    }
  }
  return found;
}

/** Gather the terms of a number into frames: a block a map, or the largest numbers of a vector. */
function patches(parts, rows) {
  const groups = new Map();
  for (const part of parts) {
    if (!part.from || !part.at || !rows.has(part.from)) continue;
    const key = part.at.length === 3 ? `${part.from}/${part.at[0]}` : `${part.from}/${part.at.join()}`;
    const group = groups.get(key) ?? { from: part.from, low: [...part.at], high: [...part.at], sum: 0 };
    part.at.forEach((i, axis) => {
      group.low[axis] = Math.min(group.low[axis], i);
      group.high[axis] = Math.max(group.high[axis], i);
    });
    group.sum += part.product ?? 0;
    groups.set(key, group);
  }
  const found = [...groups.values()].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const most = bound(found.map(({ sum }) => sum));
  const few = found[0]?.low.length === 1 ? VECTOR : 64;
  return found.slice(0, few).flatMap(({ from, low, high, sum }) => {
    const size = low.length === 3 ? [high[1] - low[1] + 1, high[2] - low[2] + 1] : [1, 1];
    const box = rows.get(from).box(low, ...size);
    return box ? [{ from, box, weight: Math.min(1, Math.abs(sum) / most) }] : [];
  });
}
