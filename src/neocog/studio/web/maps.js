// One row a layer: its maps as small multiples, the frames on them, its kernels, its numbers as a table.

import { bound, colourOf, dark, paint, picture, textOn } from "./colour.js";
import { fill, fixed, h, inside, number, offset, say, unravel, where, whole } from "./dom.js";

const GAP = 5;
const FEW = 32; // maps drawn at first
const MOST = 256; // maps drawn at all
const EDGE = 3; // pixels around the maps, for frames
const DASH = 4; // pixels between the dashes of numbers below zero, at least; in smaller cells they are lines over neighbours
const TABLE = 4096; // numbers of a map that are listed

const colours = new Map(); // of the style sheet

/** Words for the kinds of layers, where the class's name is not clear by itself. */
const WORDS = {
  Conv2D: "convolution",
  ConvTranspose2D: "transposed convolution",
  MaxPool2D: "max pooling",
  AvgPool2D: "average pooling",
  GlobalAvgPool2D: "mean of each map",
  GlobalMaxPool2D: "maximum of each map",
  Upsample: "resized maps",
  Dense: "fully connected",
  Flatten: "all maps in one row",
  BatchNorm2D: "batch norm",
  BatchNorm1D: "batch norm",
  GroupNorm: "group norm",
  InstanceNorm: "instance norm",
  LayerNorm: "layer norm",
  Slice: "some of the channels",
  ChannelShuffle: "channels interleaved",
  StochasticDepth: "stochastic depth",
  Normalize: "normalised channels",
  Add: "sum",
  Multiply: "product",
  MatMul: "product of matrices",
  Maximum: "the largest",
  Minimum: "the smallest",
  Scale: "learned factors",
  Rescale: "fixed factor",
  input: "the image",
};

/** Return the places of the maps of a node on a given width: `{cell, boxes, width, height, shown}`. */
export function arrange(shape, width, all, large) {
  const [count, rows, columns] = shape.length === 3 ? shape : [shape[0], 1, 1];
  const vector = rows * columns === 1;
  const shown = Math.min(count, all ? MOST : vector ? MOST : FEW);
  let cell;
  let gap = GAP;
  if (vector) {
    gap = 2;
    cell = shown <= 24 ? 26 : shown <= 130 ? 15 : 10;
    while (cell > 12 && shown <= 24 && shown * (cell + gap) > width) cell--;
  } else {
    const target = large ? 88 : shown <= 10 ? 72 : shown <= 20 ? 60 : 46;
    const side = rows === 1 && columns > 8 ? Math.min(width, 360) : target;
    cell = Math.min(18, side / Math.max(rows, columns), width / columns);
    const fits = Math.max(1, Math.floor((width + gap) / (cell * columns + gap)));
    const lines = Math.ceil(shown / fits);
    let largest = width / columns;
    if (lines > 1) {
      const each = Math.ceil(shown / (lines - 1)); // a little smaller, and a line less?
      const smaller = (width - gap * (each - 1)) / each / columns;
      if (smaller >= 0.7 * cell) cell = largest = Math.min(cell, smaller);
    }
    const ratio = globalThis.devicePixelRatio || 1;
    const near = Math.round(cell * ratio) / ratio;
    if (cell * ratio >= 2) cell = near <= largest ? near : Math.floor(cell * ratio) / ratio;
  }
  const tall = rows === 1 && columns > 8 ? Math.max(cell, 14) : cell; // a signal is a band
  const across = cell * columns;
  const down = tall * rows;
  const most = Math.max(1, Math.floor((width + gap) / (across + gap)));
  const each = vector ? most : Math.ceil(shown / Math.ceil(shown / most)); // lines of the same length
  const boxes = [];
  for (let k = 0; k < shown; k++) {
    boxes.push({ x: (k % each) * (across + gap), y: Math.floor(k / each) * (down + gap), w: across, h: down });
  }
  return { cell, tall, boxes, rows, columns, width: Math.min(each, shown) * (across + gap) - gap, height: Math.ceil(shown / each) * (down + gap) - gap, shown, count, vector };
}

/** A row of the network: the output of one node. */
export class Row {
  /** Take a node of the description, `{tone, image}` if it is the input, and what to call on a pick. */
  constructor(node, { tone, isInput, parameters, classNames }, actions) {
    this.node = node;
    this.tone = tone;
    this.isInput = isInput;
    this.classNames = classNames;
    this.actions = actions;
    this.parameters = parameters;
    this.all = false;
    this.data = null;
    this.scale = 1;
    this.width = 0;
    this.sheet = document.createElement("canvas");
    this.base = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas.over", { "aria-hidden": "true" });
    this.range = h("span.range");
    this.stage = h(
      "div.maps",
      { tabindex: 0, role: "application", "aria-roledescription": "maps", "aria-label": this.title() },
      this.base,
      this.over,
    );
    this.more = h("button.quiet.more", { onclick: () => this.showAll(), hidden: true });
    this.body = h("div.opened", { hidden: true });
    this.toggle = h(
      "button.name",
      { "aria-expanded": "false", onclick: () => actions.open(this.node.name), title: "Kernels, formula, numbers" },
      this.node.name === "input" ? "input" : this.node.name,
    );
    this.element = h(
      "section.layer",
      { "data-node": node.name, "aria-label": this.title() },
      h("div.head", {}, this.toggle, h("span.kind", {}, this.kind()), h("span.facts", {}, this.facts().map((fact) => h("span.fact", {}, fact)), this.range)),
      h("div.stage", {}, this.stage, this.more, this.body),
    );
    this.listen();
  }

  /** Say in words what the layer is. */
  kind() {
    const { kind, settings = {} } = this.node;
    const words = WORDS[kind] ?? kind.replace(/2D$/, "");
    const size = settings.kernel_size ?? settings.window;
    return Array.isArray(size) && size.length === 2 ? `${words} ${size.join(" × ")}` : words;
  }

  /** Say its shape, its parameters, what it sees. */
  facts() {
    const { parameters, receptive } = this.node;
    const shape = this.node.whole ?? this.node.shape;
    const maps = shape[0] === 1 ? "1 map" : `${shape[0]} maps`;
    const parts = [shape.length === 3 ? `${this.isInput ? shape[0] : maps}${this.isInput ? " ×" : " of"} ${shape[1]} × ${shape[2]}` : `${whole(shape[0])} numbers`];
    if (parameters) parts.push(`${whole(parameters)} parameters`);
    if (receptive && !this.isInput && receptive[0] * receptive[1] > 1) parts.push(`sees ${receptive[0]} × ${receptive[1]}`);
    return parts;
  }

  /** Return the row's name for those who hear it. */
  title() {
    return [this.node.name, this.kind(), ...this.facts()].join(", ");
  }

  /** Give the row its width; return whether its height changed. */
  layout(width) {
    width = Math.max(60, Math.floor(width));
    const plan = arrange(this.node.shape, width, this.all, this.isInput);
    const changed = !this.plan || this.plan.height !== plan.height || this.width !== width;
    this.width = width;
    this.plan = plan;
    const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.ceil((plan.width + 2 * EDGE) * ratio);
      canvas.height = Math.ceil((plan.height + 2 * EDGE) * ratio);
      canvas.style.width = `${plan.width + 2 * EDGE}px`;
      canvas.style.height = `${plan.height + 2 * EDGE}px`;
    }
    this.stage.style.height = `${plan.height}px`;
    this.ratio = ratio;
    const left = plan.count - plan.shown;
    this.more.hidden = left <= 0;
    const end = plan.shown < Math.min(plan.count, MOST);
    say(this.more, left <= 0 ? "" : end ? `show ${whole(left)} more` : `${whole(left)} more are not drawn`);
    this.more.disabled = !end;
    return changed;
  }

  /** Show all maps, up to the most that a page draws well. */
  showAll() {
    this.all = true;
    this.layout(this.width);
    this.draw(this.data);
    this.actions.moved();
  }

  /** Draw the numbers: `data` of the node's shape. */
  draw(data) {
    this.data = data;
    const context = this.base.getContext("2d");
    this.clear(context);
    if (!data) {
      say(this.range, "not here");
      return;
    }
    const { rows, columns, boxes, cell, shown } = this.plan;
    const size = rows * columns;
    this.scale = bound(data);
    if (this.sheet.width !== columns || this.sheet.height !== rows * shown) {
      this.sheet.width = columns;
      this.sheet.height = rows * shown;
    }
    const paper = this.sheet.getContext("2d");
    const pixels = paper.createImageData(columns, rows * shown);
    if (this.isInput) {
      for (let k = 0; k < shown; k++) {
        const part = pixels.data.subarray(4 * k * size, 4 * (k + 1) * size);
        picture(part, data.subarray(k * size, (k + 1) * size), [1, rows, columns], this.tone);
        if (shown === 3) for (let i = 0; i < 4 * size; i++) if (i % 4 !== 3 && i % 4 !== k) part[i] = 0; // red, green, blue
      }
    } else paint(pixels.data, data, 0, size * shown, this.scale);
    paper.putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    for (let k = 0; k < shown; k++) {
      const { x, y, w, h: height } = boxes[k];
      context.drawImage(this.sheet, 0, k * rows, columns, rows, x, y, w, height);
    }
    context.strokeStyle = this.colour("--line");
    context.lineWidth = 1;
    for (const { x, y, w, h: height } of boxes) context.strokeRect(x - 0.5, y - 0.5, w + 1, height + 1);
    if (!this.isInput) this.dashes(context, data);
    let bad = 0;
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) bad++;
    this.range.classList.toggle("bad", bad > 0);
    say(
      this.range,
      bad ? `${whole(bad)} of ${whole(data.length)} are no numbers (NaN)` : this.isInput ? "" : `± ${number(this.scale, 2)}`,
    );
    if (!this.body.hidden) this.fillBody();
  }

  /** Return a colour of the style sheet; asked once for light and once for dark, as each time the page must be styled for it. */
  colour(name) {
    const key = `${name}${dark()}`;
    if (!colours.has(key)) colours.set(key, getComputedStyle(this.stage).getPropertyValue(name).trim());
    return colours.get(key);
  }

  /** Empty a canvas; its zero is the corner of the first map. */
  clear(context) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    context.setTransform(this.ratio, 0, 0, this.ratio, EDGE * this.ratio, EDGE * this.ratio);
  }

  /** Mark numbers below zero by dashes, where cells are small by one in every few rows: the sign is seen without colours. */
  dashes(context, data) {
    const { rows, columns, boxes, cell, tall } = this.plan;
    const isSmall = cell < 2 * DASH;
    const width = isSmall ? cell : Math.max(3, Math.round(cell * 0.4)), every = Math.ceil(DASH / tall);
    context.globalAlpha = isSmall ? 0.35 : 0.5;
    for (const [k, box] of boxes.entries()) {
      for (let i = Math.min(every >> 1, rows - 1); i < rows; i += every) {
        for (let j = 0; j < columns; j++) {
          const value = data[(k * rows + i) * columns + j];
          if (!(value < -0.02 * this.scale)) continue;
          context.fillStyle = textOn(value, this.scale);
          context.fillRect(box.x + (j + 0.5) * cell - width / 2, box.y + (i + 0.5) * tall - 0.5, width, 1);
        }
      }
    }
    context.globalAlpha = 1;
  }

  /** Return the rectangle of an index (or of a block of `rows` x `columns` from it), undefined if not drawn. */
  box(index, rows = 1, columns = 1) {
    const place = this.plan.boxes[index[0]];
    if (!place) return undefined;
    const { cell, tall } = this.plan;
    const [i, j] = this.node.shape.length === 3 ? index.slice(1) : [0, 0];
    return { x: place.x + j * cell, y: place.y + i * tall, w: columns * cell, h: rows * tall };
  }

  /** Return the index at a point of the row, undefined between maps. */
  hit(x, y) {
    const { boxes, cell, tall, rows, columns } = this.plan;
    const k = boxes.findIndex((b) => x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h);
    if (k < 0) return undefined;
    if (this.node.shape.length !== 3) return [k];
    const { x: left, y: top } = boxes[k];
    return [k, Math.min(rows - 1, Math.floor((y - top) / tall)), Math.min(columns - 1, Math.floor((x - left) / cell))];
  }

  /** Draw frames: `{box, kind}` with kind "pick" or "patch". */
  frame(marks) {
    if (!marks.length && !this.framed) return;
    this.framed = marks.length > 0;
    const context = this.over.getContext("2d");
    this.clear(context);
    for (const { box, kind, weight = 1 } of marks) {
      if (!box) continue;
      context.globalAlpha = kind === "patch" ? 0.35 + 0.65 * weight : 1;
      context.lineWidth = kind === "pick" ? 4 : 3;
      context.strokeStyle = this.colour("--halo");
      context.strokeRect(box.x, box.y, box.w, box.h);
      context.lineWidth = kind === "pick" ? 2 : 1.5;
      context.strokeStyle = this.colour(kind === "pick" ? "--pick" : "--patch");
      context.strokeRect(box.x, box.y, box.w, box.h);
    }
    context.globalAlpha = 1;
  }

  /** Tell the name and the value of a number of this row to those who hear it. */
  tell(index) {
    const value = this.data ? this.data[offset(this.node.shape, index)] : undefined;
    const place = this.node.shape.length === 1 && this.classNames ? this.classNames[index[0]] : where(this.node.shape, index);
    this.stage.setAttribute(
      "aria-label",
      `${this.node.name}, ${place}: ${value === undefined ? "not here" : number(value)}`,
    );
  }

  /** Return the index one step from another; steps over the edge lead to the next map. */
  step(index, key) {
    const { shape } = this.node;
    const last = this.plan.shown - 1;
    if (shape.length === 1) {
      const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[key];
      if (key === "Home") return [0];
      if (key === "End") return [last];
      return by ? [Math.min(last, Math.max(0, index[0] + by))] : undefined;
    }
    const [k, i, j] = index;
    const [, rows, columns] = shape;
    if (key === "ArrowUp") return [k, Math.max(0, i - 1), j];
    if (key === "ArrowDown") return [k, Math.min(rows - 1, i + 1), j];
    if (key === "ArrowLeft") return j > 0 ? [k, i, j - 1] : k > 0 ? [k - 1, i, columns - 1] : index;
    if (key === "ArrowRight") return j < columns - 1 ? [k, i, j + 1] : k < last ? [k + 1, i, 0] : index;
    if (key === "PageUp") return [Math.max(0, k - 1), i, j];
    if (key === "PageDown") return [Math.min(last, k + 1), i, j];
    if (key === "Home") return [k, 0, 0];
    if (key === "End") return [k, rows - 1, columns - 1];
    return undefined;
  }

  /** Return the index of the largest magnitude, where a pick begins. */
  largest() {
    if (!this.data) return this.node.shape.map(() => 0);
    const size = this.node.shape.length === 3 ? this.plan.rows * this.plan.columns : 1;
    let best = 0;
    for (let i = 0; i < this.plan.shown * size; i++) {
      if (Math.abs(this.data[i]) > Math.abs(this.data[best])) best = i;
    }
    return unravel(this.node.shape, best);
  }

  /** Listen to pointer and keys. */
  listen() {
    const at = (event) => {
      const bounds = this.stage.getBoundingClientRect();
      return this.hit(event.clientX - bounds.left, event.clientY - bounds.top);
    };
    this.stage.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") this.actions.hover(this.node.name, at(event));
    });
    this.stage.addEventListener("pointerleave", () => this.actions.hover(this.node.name, undefined));
    this.stage.addEventListener("click", (event) => {
      const index = at(event);
      if (index) this.actions.pick(this.node.name, index);
    });
    this.stage.addEventListener("focus", () => {
      if (this.stage.matches(":focus-visible")) this.actions.focus(this.node.name);
    });
    this.stage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const now = this.actions.current(this.node.name) ?? this.largest();
      if (event.key === "Enter" || event.key === " ") {
        this.actions.pick(this.node.name, now);
        event.preventDefault();
        return;
      }
      const next = this.step(now, event.key);
      if (next && inside(this.node.shape, next)) {
        this.actions.pick(this.node.name, next);
        event.preventDefault();
      }
    });
  }

  /** Open or shut the row's kernels, formula and numbers. */
  open(opened, arrays) {
    this.arrays = arrays;
    this.toggle.setAttribute("aria-expanded", String(opened));
    const was = !this.body.hidden;
    this.body.hidden = !opened;
    if (opened) this.fillBody();
    else fill(this.body);
    if (was !== opened) this.actions.moved();
  }

  /** Fill what an opened row shows. */
  fillBody() {
    const { formula } = this.node;
    const parts = [];
    if (formula) parts.push(h("p.formula", {}, h("code", {}, formula)));
    const weights = this.arrays?.get(this.node.arrays?.w);
    if (weights && weights.shape.length === 4) parts.push(kernels(weights, this.actions, this.node));
    if (this.data) {
      const open = this.body.querySelector("details.numbers")?.open ?? false;
      const details = h("details.numbers", { open }, h("summary", {}, "Show as numbers"));
      const add = () => {
        if (details.open && details.children.length < 2) details.append(this.numbers());
      };
      details.addEventListener("toggle", add);
      add();
      parts.push(details);
    }
    fill(this.body, parts);
  }

  /** Return a table of one map's numbers, that of the pick. */
  numbers() {
    const { shape } = this.node;
    const picked = this.actions.current(this.node.name) ?? this.largest();
    const [, rows, columns] = shape.length === 3 ? shape : [1, 1, shape[0]];
    const from = shape.length === 3 ? picked[0] * rows * columns : 0;
    const caption = shape.length === 3 ? `${this.node.name}, map ${picked[0] + 1} of ${shape[0]}` : this.node.name;
    if (rows * columns > TABLE) {
      return h("p", {}, `${whole(rows * columns)} numbers are too many for a table; pick one to read it.`);
    }
    const labels = shape.length === 1 ? this.classNames : null;
    return h(
      "div.scroll",
      { tabindex: 0, role: "region", "aria-label": caption },
      h(
        "table.grid",
        {},
        h("caption", {}, caption),
        h("thead", {}, h("tr", {}, h("td"), Array.from({ length: columns }, (_, j) => h("th", { scope: "col" }, String(labels?.[j] ?? j + 1))))),
        h(
          "tbody",
          {},
          Array.from({ length: rows }, (_, i) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, String(i + 1)),
              Array.from({ length: columns }, (_, j) => {
                const value = this.data[from + i * columns + j];
                return h("td", {}, fixed(value));
              }),
            ),
          ),
        ),
      ),
    );
  }
}

/** Draw kernels (out, in, h, w) as small multiples, a row of pictures for each output map. */
function kernels({ shape, data }, actions, node) {
  const [out, into, rows, columns] = shape;
  const few = Math.min(out, into === 1 ? 32 : 16);
  const across = Math.min(into, 16);
  const scale = bound(data);
  const cell = Math.max(3, Math.min(14, Math.floor((into === 1 ? 48 : 36) / Math.max(rows, columns))));
  const grid = h(`div.kernels${into === 1 ? ".flat" : ""}`, {});
  for (let o = 0; o < few; o++) {
    const line = h("div.kernel-row", {}, h("span.index", {}, String(o + 1)));
    for (let c = 0; c < across; c++) {
      const canvas = h("canvas.kernel", { role: "img", "aria-label": `${node.name}, kernel of map ${o + 1}, input map ${c + 1}` });
      const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
      canvas.width = Math.round(cell * columns * ratio);
      canvas.height = Math.round(cell * rows * ratio);
      canvas.style.width = `${cell * columns}px`;
      canvas.style.height = `${cell * rows}px`;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      for (let k = 0; k < rows * columns; k++) {
        const value = data[(o * into + c) * rows * columns + k];
        const [x, y] = [(k % columns) * cell, Math.floor(k / columns) * cell];
        context.fillStyle = colourOf(value, scale);
        context.fillRect(x, y, cell, cell);
        if (value < 0 && cell >= DASH) {
          context.fillStyle = textOn(value, scale);
          context.fillRect(x + 0.3 * cell, y + 0.5 * cell - 0.5, 0.4 * cell, 1);
        }
      }
      line.append(canvas);
    }
    grid.append(line);
  }
  const read = into === 1 ? "" : `, a picture for each of the ${into} maps read`;
  const left = out > few || into > across ? ` The first ${few} of ${out} and ${across} of ${into} are drawn.` : "";
  return h(
    "div",
    {},
    h("p.hint", {}, `Kernels: ${into === 1 ? "one" : "a row"} for each of the ${out} maps made${read}; ± ${number(scale, 2)}.${left}`),
    h("div.scroll", {}, grid),
  );
}

/** Return a grid of numbers, coloured, each with its sign; `marks` names cells that stand out. */
export function numberGrid(rows, columns, values, { scale, label, picked, decimals = 2, plain = false } = {}) {
  const wide = columns <= 7 && rows <= 7;
  const narrow = wide && columns > 3; // less room: "−.43", "1.2"
  const brief = (value) => fixed(value, Math.abs(value) >= 1 ? decimals - 1 : decimals).replace(/^(−?)0\./, "$1.");
  const table = h(`table.cells${narrow ? ".narrow" : wide ? "" : ".tiny"}`, { "aria-label": label });
  for (let i = 0; i < rows; i++) {
    const line = h("tr");
    for (let j = 0; j < columns; j++) {
      const value = values[i * columns + j];
      const cell = h("td", {}, value === undefined ? "" : narrow ? brief(value) : wide ? fixed(value, decimals) : value < 0 ? "−" : "");
      if (value !== undefined && !plain) {
        cell.style.backgroundColor = colourOf(value, scale);
        cell.style.color = textOn(value, scale);
      }
      if (value === undefined) cell.className = "outside";
      if (picked && picked[0] === i && picked[1] === j) cell.classList.add("picked");
      if (!wide && value !== undefined) cell.title = number(value);
      line.append(cell);
    }
    table.append(line);
  }
  return table;
}
