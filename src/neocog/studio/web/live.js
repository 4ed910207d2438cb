// The weights under one's hands: edit one, paint a kernel, undo; break a layer; see what died and what learns.

import { bound, colourOf, textOn } from "./colour.js";
import { fill, fixed, h, number, offset, say, whole } from "./dom.js";
import { className, heat, newest, run, share, shown, visible } from "./tools.js";

const LARGEST = 14; // rows and columns of a kernel that is drawn with numbers

/** Ready-made 3 x 3 kernels, each with what it finds. */
const STAMPS = {
  "→ edge": [-1, 0, 1, -1, 0, 1, -1, 0, 1],
  "↓ edge": [-1, -1, -1, 0, 0, 0, 1, 1, 1],
  blur: [1, 1, 1, 1, 1, 1, 1, 1, 1].map((w) => w / 9),
  point: [-1, -1, -1, -1, 8, -1, -1, -1, -1].map((w) => w / 8),
};

/** Return the nodes whose weights can be edited: those with an array "w". */
export function weighted(model) {
  return model.description.nodes.filter(({ arrays }) => arrays?.w);
}

/** Return the node with weights that a place belongs to: its own, or the next above it. */
export function nodeOf(model, place) {
  const { nodes } = model.description;
  let at = nodes.findIndex(({ name }) => name === place?.node);
  for (; at >= 0; at--) if (nodes[at].arrays?.w) return nodes[at];
  return weighted(model)[0];
}

/**
 * Return how a node's weights lie as pictures: one for each output and input map, with the index of each weight.
 * A dense layer after maps is drawn as maps, too.
 */
export function layout(model, node) {
  const { w: shape } = node.array_shapes;
  if (shape.length === 4) {
    return { outputs: shape[0], inputs: shape[1], rows: shape[2], columns: shape[3], index: (o, c, i, j) => [o, c, i, j] };
  }
  const before = spread(model, node);
  const [inputs, rows, columns] = before ?? [1, Math.ceil(shape[0] / 10), Math.min(10, shape[0])];
  return {
    outputs: shape[1], inputs, rows, columns,
    index: (o, c, i, j) => [(c * rows + i) * columns + j, o],
    count: shape[0],
  };
}

/** Return the shape of the maps that a dense layer reads flattened, null where it reads numbers. */
function spread(model, node) {
  const byName = new Map(model.description.nodes.map((each) => [each.name, each]));
  let found = byName.get(node.inputs[0]);
  while (found && ["Dropout"].includes(found.kind)) found = byName.get(found.inputs[0]);
  if (found?.kind !== "Flatten" && found?.kind !== "Reshape") return null;
  const source = byName.get(found.inputs[0])?.shape ?? (found.inputs[0] === "input" ? model.description.input : null);
  return source?.length === 3 && source[1] * source[2] > 1 ? source : null;
}

/** The panel of weights: one kernel as a grid of numbers. */
export const weightsPanel = {
  title: "Weights",
  mount(el, context) {
    const { model } = context;
    let node = null;
    let plan = null;
    let output = 0;
    let input = 0;
    let cells = [];
    let painting = null;
    const status = h("p.status", { role: "status" });
    const which = h("select", { "aria-label": "Layer", onchange: () => { choose(model.description.nodes.find(({ name }) => name === which.value)); draw(); } });
    const out = stepper("map made", (by) => { output = wrap(output + by, plan.outputs); draw(); });
    const into = stepper("map read", (by) => { input = wrap(input + by, plan.inputs); draw(); });
    const grid = h("div.weights", { role: "grid" });
    const value = h("input", { type: "number", step: "any", "aria-label": "Weight", onchange: () => commit(Number(value.value)) });
    const brush = h("input", { type: "range", min: -1, max: 1, step: 0.05, value: 1, "aria-label": "Brush, in parts of the largest weight" });
    const paintToggle = h("input", { type: "checkbox" });
    const picked = h("p.picked-weight");
    const undo = h("button.quiet", { onclick: () => run(undo, status, async () => { await model.send("edit", { undo: true }); await after("Undone."); }) }, "Undo");
    const zero = h("button.quiet", { onclick: () => stamp(() => 0) }, "zeros");
    const stamps = h("span.stamps", {}, Object.entries(STAMPS).map(([name, kernel]) =>
      h("button.quiet", { "data-stamp": name, onclick: () => stamp((i, j) => kernel[3 * i + j] * (plan.inputs > 1 ? 0.7 : 1)) }, name)));
    const gradient = h("button", { onclick: () => model.emit("tool", "Gradient") }, "Why will it move?");
    const prove = h("button", { onclick: () => model.emit("tool", "Prove it") }, "Prove its gradient");
    fill(el,
      h("div.line", {}, which, out.element, into.element),
      grid,
      h("div.line.weight-line", {}, h("label", {}, "weight ", value), undo),
      picked,
      h("div.line", {}, h("label", {}, paintToggle, " paint with "), brush),
      h("div.line", {}, h("span.hint", {}, "fill with"), stamps, zero),
      status,
      h("div.line", {}, gradient, prove));

    /** Take the node whose weights are shown. */
    function choose(next) {
      if (!next) return;
      node = next;
      plan = layout(model, node);
      output = Math.min(output, plan.outputs - 1);
      input = Math.min(input, plan.inputs - 1);
    }

    /** Return the array that is shown. */
    const array = () => model.weights(context.state.epoch)?.get(node?.arrays.w);

    /** Follow the number that is picked. */
    function follow() {
      const place = context.state.at;
      if (place) {
        choose(nodeOf(model, place));
        if (place.node === node?.name || context.node(place.node)?.shape[0] === plan?.outputs) output = Math.min(place.index[0], plan.outputs - 1);
      }
      if (!node || !model.description.nodes.includes(node)) choose(weighted(model)[0]);
      draw();
    }

    /** Draw the grid anew. */
    function draw() {
      if (!node) return say(status, "This network has no weights that can be edited.");
      fill(which, weighted(model).map(({ name, kind }) => h("option", { value: name, selected: name === node.name }, `${name} (${kind})`)));
      out.show(output, plan.outputs);
      into.show(input, plan.inputs);
      stamps.hidden = plan.rows !== 3 || plan.columns !== 3 || Boolean(plan.count);
      cells = [];
      const small = Math.max(plan.rows, plan.columns) <= LARGEST;
      fill(grid, Array.from({ length: plan.rows }, (_, i) => h("div.weights-row", { role: "row" }, Array.from({ length: plan.columns }, (_, j) => {
        const index = plan.index(output, input, i, j);
        if (plan.count && index[0] >= plan.count) return null;
        const cell = h(small ? "button.weight" : "button.weight.tiny", { role: "gridcell", tabindex: "-1", "data-row": i, "data-column": j, onclick: () => select(index) });
        cells.push({ cell, index, i, j });
        return cell;
      }))));
      colour();
    }

    /** Give the cells their numbers and colours. */
    function colour() {
      const found = array();
      if (!found || !visible(el)) return;
      const scale = bound(found.data);
      const mine = model.weight;
      for (const { cell, index } of cells) {
        const w = found.data[offset(found.shape, index)];
        const text = cell.classList.contains("tiny") ? "" : fixed(w);
        if (cell.textContent !== text) cell.textContent = text;
        cell.style.backgroundColor = colourOf(w, scale);
        cell.style.color = textOn(w, scale);
        const on = mine?.array === node.arrays.w && mine.index.join() === index.join();
        cell.classList.toggle("on", on);
        cell.tabIndex = on ? 0 : -1;
        cell.setAttribute("aria-label", `${name(index)}: ${number(w)}`);
        if (on && document.activeElement !== value) value.value = String(Number(w.toPrecision(6)));
      }
      if (!cells.some(({ cell }) => cell.tabIndex === 0) && cells.length) cells[0].cell.tabIndex = 0;
      const chosen = mine && mine.array === node.arrays.w;
      for (const each of [value, gradient, prove]) each.disabled = !chosen;
      say(picked, chosen ? `${node.arrays.w}[${mine.index.join(", ")}]` : "Click a weight to change it, or to ask for its gradient.");
    }

    /** Return a weight's name. */
    const name = (index) => `${node.arrays.w}[${index.join(", ")}]`;

    /** Choose a weight: the other panels ask about it. */
    function select(index) {
      model.weight = { array: node.arrays.w, index };
      model.emit("weight", model.weight);
      colour();
    }

    /** Set the chosen weight. */
    function commit(w) {
      if (!Number.isFinite(w)) return say(status, "A weight is a number, such as 0.5 or -1.");
      const { index } = model.weight;
      preview([[index, w]]);
      return send(index, [w]);
    }

    /** Fill the kernel by a function of row and column, times the largest weight. */
    function stamp(of) {
      const found = array();
      if (!found) return;
      const scale = bound(found.data);
      preview(cells.map(({ index, i, j }) => [index, of(i, j) * scale]));
      sendKernel();
    }

    /** Show changed weights at once, before Python has them. */
    function preview(changes) {
      if (context.state.epoch !== model.now) model.emit("now");
      const found = array();
      const data = Float32Array.from(found.data);
      for (const [index, w] of changes) data[offset(found.shape, index)] = w;
      model.preview(node.arrays.w, { shape: found.shape, data });
      colour();
    }

    /** Send the kernel that is shown. */
    function sendKernel() {
      const found = array();
      if (plan.count) return send([], Array.from(found.data));
      return send([output, input], cells.map(({ index }) => found.data[offset(found.shape, index)]));
    }

    /** Send an edit, then say what it did to the held-out accuracy. */
    function send(index, values) {
      const fields = { array: node.arrays.w, index, values: values.length === 1 ? values[0] : values };
      return run(null, status, async () => {
        await model.send("edit", fields);
        await after("");
      });
    }

    /** Measure and say the held-out accuracy, beside what it was. */
    async function after(words) {
      const before = model.accuracy ?? model.history.val_accuracy?.at(-1);
      const { held_out: found } = await model.send("measure", { what: "accuracy" });
      if (!found) return say(status, words);
      model.accuracy = found.accuracy;
      say(status, `${words} Held-out accuracy ${before === undefined || before === null ? "" : `${share(before)} → `}${share(found.accuracy)}.`.trim());
    }

    /** Paint the cell under the pointer. */
    function stroke(event) {
      const target = document.elementFromPoint(event.clientX, event.clientY);
      const found = cells.find(({ cell }) => cell === target);
      if (!found || painting.has(found)) return;
      painting.add(found);
      preview([[found.index, Number(brush.value) * painting.scale]]);
    }
    grid.addEventListener("pointerdown", (event) => {
      if (!paintToggle.checked || !array()) return;
      painting = new Set();
      painting.scale = bound(array().data);
      grid.setPointerCapture(event.pointerId);
      event.preventDefault();
      stroke(event);
    });
    grid.addEventListener("pointermove", (event) => { if (painting) stroke(event); });
    const end = () => {
      if (!painting) return;
      painting = null;
      sendKernel();
    };
    grid.addEventListener("pointerup", end);
    grid.addEventListener("pointercancel", end);
    grid.addEventListener("keydown", (event) => {
      const from = cells.find(({ cell }) => cell === event.target);
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!from || !step) return;
      const to = cells.find(({ i, j }) => i === from.i + step[0] && j === from.j + step[1]);
      to?.cell.focus();
      event.preventDefault();
    });
    brush.addEventListener("input", () => { paintToggle.checked = true; el.classList.add("painting"); });
    paintToggle.addEventListener("change", () => el.classList.toggle("painting", paintToggle.checked));

    const undoable = () => { undo.disabled = !model.remote?.undo; };
    undoable();
    model.on("state", undoable);
    model.on("row", () => {
      const last = model.history.val_accuracy?.at(-1);
      model.accuracy = Number.isFinite(last) ? last : undefined;
    });
    model.on("weight", colour);
    model.on("shown", follow);
    model.on("hello", () => { node = null; model.weight = null; follow(); });
    context.on("pick", () => { if (context.state.at !== el.last) { el.last = context.state.at; follow(); } });
    context.on("values", colour);
    follow();
  },
};

/** Return a control that steps through maps. */
function stepper(label, move) {
  const text = h("span");
  const element = h("span.stepper", {},
    h("button.quiet", { "aria-label": `Previous ${label}`, onclick: () => move(-1) }, "‹"), text,
    h("button.quiet", { "aria-label": `Next ${label}`, onclick: () => move(1) }, "›"));
  return { element, show(k, count) { say(text, `${label} ${k + 1} of ${count}`); element.hidden = count < 2; } };
}

const wrap = (k, count) => (k + count) % count;

/** The panel that breaks the network on purpose. */
export const breakPanel = {
  title: "Break it",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const swaps = h("div.swaps");
    const toggle = (label, what, on, off, isOn) => {
      const box = h("input", { type: "checkbox", onchange: () => run(box, status, async () => {
        const answer = await model.send("set", { settings: box.checked ? on() : off() });
        say(status, answer.note ?? (answer.anew ? "Training begins anew: press Play." : "From the next batch on."));
      }) });
      return { element: h("label.break", {}, box, h("span", {}, h("b", {}, label), h("small", {}, what))), show: (settings) => { box.checked = isOn(settings); } };
    };
    let usual = null;
    const toggles = [
      toggle("Zeros at the start", "Every weight begins at 0: all maps of a layer stay alike, or nothing moves.", () => ({ start: "zeros" }), () => ({ start: "usual" }), (s) => s.start === "zeros"),
      toggle("Learning rate × 100", "Each step overshoots: watch the loss.", () => { usual = model.remote.settings.lr; return { lr: 100 * usual }; },
        () => { const lr = usual ?? model.remote.settings.lr / 100; usual = null; return { lr }; }, (s) => usual !== null && Math.abs(s.lr - 100 * usual) < 1e-9 * s.lr),
      toggle("Shuffled labels", "Each image gets the label of another: what can be learned is only learned by heart.", () => ({ labels: "shuffled" }), () => ({ labels: "true" }), (s) => s.labels === "shuffled"),
    ];
    fill(el, toggles.map(({ element }) => element), h("h3", {}, "Another function in a layer's place"), swaps, status);

    /** Draw a select for each activation and pooling. */
    function draw() {
      const { remote, hello } = model;
      if (!remote || !hello) return;
      for (const each of toggles) each.show(remote.settings);
      if (swaps.contains(document.activeElement)) return;
      const kinds = new Set([...hello.swaps, "ReLU"]);
      const nodes = model.description.nodes.filter(({ name, kind }) => kinds.has(kind) || name in (remote.swapped ?? {}));
      fill(swaps, nodes.map((node) => {
        const select = h("select", { "aria-label": `In place of ${node.name}`, onchange: () => run(select, status, async () => {
          await model.send("swap", { node: node.name, to: select.value });
          const { held_out: found } = await model.send("measure", { what: "accuracy" });
          say(status, `${node.name} is ${select.value === "none" ? "gone" : `now ${select.value}`}.${found ? ` Held-out accuracy ${share(found.accuracy)}.` : ""} Training goes on from here.`);
        }) }, hello.swaps.map((to) => h("option", { value: to, selected: to === (remote.swapped?.[node.name] ?? node.kind) }, to === "none" ? "nothing" : to)));
        return h("label.swap", {}, h("b", {}, node.name), select);
      }));
    }
    model.on("state", draw);
    model.on("hello", draw);
    draw();
  },
};

/** The panel of health: gradients layer by layer as maps, and units that are dead. */
export const healthPanel = {
  title: "Gradients and dead units",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const list = h("div.health");
    const hints = h("ul.hints");
    fill(el, h("p.hint", {}, "How the loss of this image would change with each number: orange, it grows with it; blue, it falls. No colour: nothing is learned there."), status, hints, list);

    const refresh = newest(async () => {
      if (!visible(el) || model.status !== "open") return;
      await run(null, status, async () => {
        await shown(context);
        const [found, dead] = await Promise.all([
          model.send("measure", { what: "gradients", label: context.label?.() ?? null }), model.send("measure", { what: "dead" })]);
        say(status, `For ${Array.isArray(found.label) ? "the labels" : "the class"} ${className(model, found.label)}; loss ${number(found.loss)}.`);
        draw(found.arrays, dead.layers);
      });
    });

    /** Draw a row a node: its gradient, its size, its dead channels. */
    function draw(arrays, dead) {
      const sizes = new Map();
      for (const node of model.description.nodes) {
        const w = node.arrays?.w && arrays.get(`d:${node.arrays.w}`);
        if (w) sizes.set(node.name, Math.sqrt(w.data.reduce((sum, d) => sum + d * d, 0) / w.data.length));
      }
      const top = Math.max(...sizes.values(), 1e-300);
      fill(list, model.description.nodes.map((node) => {
        const found = arrays.get(`d:${node.name}`);
        const maps = h("div.gradient-maps");
        if (found) {
          const [count, rows, columns] = node.shape.length === 3 ? node.shape : [1, 1, node.shape[0]];
          const scale = bound(found.data);
          for (let k = 0; k < Math.min(count, 16); k++) {
            const canvas = h("canvas.small", { "aria-hidden": "true" });
            heat(canvas, found.data, rows, columns, scale, k * rows * columns);
            if (dead[node.name]?.channels?.[k]) canvas.classList.add("dead");
            maps.append(canvas);
          }
        }
        const gone = dead[node.name];
        const size = sizes.get(node.name);
        const bar = size === undefined ? null : h("span.size", { title: `root mean square of its weights' gradient: ${number(size)}` }, h("span.fill"), h("small", {}, number(size, 2)));
        if (bar) bar.firstChild.style.width = `${Math.max(1, (60 * Math.log10(1 + (999 * size) / top)) / 3)}px`;
        return h("div.health-row", { "data-node": node.name }, h("b", {}, node.name), bar,
          gone ? h(gone.count ? "span.dead-count.bad" : "span.dead-count", {}, gone.count ? `${whole(gone.count)} of ${whole(gone.units)} dead` : `all ${whole(gone.units)} alive`) : null, maps);
      }));
    }

    const hint = () => fill(hints, (model.remote?.hints ?? []).map((text) => h("li", {}, text)));
    hint();
    model.on("state", hint);
    model.on("frame", refresh);
    model.on("shown", refresh);
    context.on("input", refresh);
    refresh();
  },
};
