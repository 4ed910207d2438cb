// Build a network from blocks: shapes, parameters and what is wrong stand beside each block as it changes.

import { fill, h, say, whole } from "./dom.js";

const NAMES = {
  Conv2D: "Convolution", ReLU: "ReLU", LeakyReLU: "Leaky ReLU", MaxPool2D: "Max pooling", AvgPool2D: "Average pooling",
  BatchNorm: "Batch norm", GroupNorm: "Group norm", GlobalAvgPool2D: "Mean of each map", Residual: "Residual block",
};
const LABELS = { channels: "maps", features: "outputs", rate: "share dropped" };
const USUAL = { stride: "as kernel", features: "as classes", channels: "same" }; // what an empty field means
const MAPS = ["Conv2D", "Residual", "MaxPool2D", "AvgPool2D", "GroupNorm"]; // what needs maps
const ROWS = ["Flatten", "GlobalAvgPool2D"]; // what makes rows of them

/** Return a block's name for people. */
export function blockName(kind) {
  return NAMES[kind] ?? kind.replace(/([a-z])([A-Z])/g, "$1 $2");
}

/** Write a shape: "8 × 6 × 6" or "10 numbers". */
export function shapeText(shape) {
  if (!shape) return "–";
  return shape.length === 1 ? `${shape[0]} numbers` : shape.join(" × ");
}

/** Open the builder over the page; `use(blocks)` takes the finished network. */
export class Builder {
  /** Take the view and what to call with a network that fits. */
  constructor(context, use) {
    this.model = context.model;
    this.use = use;
    this.blocks = [];
    this.turn = 0;
    this.list = h("ol.blocks", {});
    this.sum = h("p.sum", { role: "status" });
    this.ready = h("button.primary", { onclick: () => this.finish() }, "Train this network");
    this.start = h("select", { "aria-label": "Begin with the blocks of", onchange: () => this.load(this.start.value) });
    this.input = h("p.block-shape.input", {});
    this.dialog = h(
      "dialog.builder",
      { "aria-label": "Network of blocks" },
      h(
        "header", {},
        h("h2", {}, "Network of blocks"),
        h("label", {}, "begin with ", this.start),
        h("button.quiet.close", { "aria-label": "Close", onclick: () => this.dialog.close() }, "✕"),
      ),
      this.input,
      this.list,
      h("footer", {}, this.sum, this.ready),
    );
    context.root.append(this.dialog);
  }

  /** Show the builder with the network as it is. */
  async open() {
    const { hello, remote } = this.model;
    fill(this.start, h("option", { value: "" }, "the network as it is"), hello.networks.map((name) => h("option", { value: name }, name)));
    this.start.value = "";
    say(this.input, `image: ${shapeText(hello.description.input)}`);
    this.dialog.showModal();
    if (remote.blocks) {
      this.blocks = remote.blocks.map((block) => ({ ...block }));
      await this.check();
    } else await this.load(remote.network);
  }

  /** Take the blocks of a network that has a name. */
  async load(name) {
    if (!name) return this.open();
    const turn = ++this.turn;
    try {
      const answer = await this.model.send("ask", { about: "network", network: name });
      if (turn !== this.turn) return;
      this.blocks = answer.blocks.map((block) => this.own(block));
      this.show(answer);
    } catch (error) {
      this.fail(error.message);
    }
  }

  /** Return a block with only what a person can set. */
  own(block) {
    const fields = this.model.hello.blocks[block.kind] ?? {};
    const kept = Object.entries(block).filter(([key, value]) => key in fields && value !== null && value !== undefined);
    return { kind: block.kind, ...Object.fromEntries(kept) };
  }

  /** Ask Python what the blocks give; the newest question wins. */
  async check() {
    const turn = ++this.turn;
    try {
      const answer = await this.model.send("ask", { about: "network", blocks: this.blocks });
      if (turn === this.turn) this.show(answer);
    } catch (error) {
      if (turn === this.turn) this.fail(error.message);
    }
  }

  /** Say what is wrong with the whole. */
  fail(text) {
    say(this.sum, text);
    this.sum.classList.add("bad");
    this.ready.disabled = true;
  }

  /** Draw the blocks with what Python said of each; a field that has the focus keeps it. */
  show({ ok, problem, blocks, parameters }) {
    const active = this.list.contains(document.activeElement) ? document.activeElement.dataset.field : null;
    fill(this.list, blocks.map((block, k) => this.card(block, k)), this.adder());
    if (active) this.list.querySelector(`[data-field="${active}"]`)?.focus();
    this.ready.disabled = !ok;
    this.sum.classList.toggle("bad", !ok);
    say(this.sum, ok ? `${whole(parameters)} parameters in ${blocks.length} blocks` : problem || "A block does not fit: see there.");
  }

  /** Return the card of a block. */
  card(block, k) {
    const fields = this.model.hello.blocks[block.kind] ?? {};
    const name = blockName(block.kind);
    const move = (by) => {
      const to = k + by;
      if (to < 0 || to >= this.blocks.length) return;
      [this.blocks[k], this.blocks[to]] = [this.blocks[to], this.blocks[k]];
      this.check();
    };
    return h(
      block.problem ? "li.block.wrong" : "li.block",
      { "data-kind": block.kind },
      h("span.move", {},
        h("button.quiet", { "aria-label": `Move ${name} up`, "data-field": `${k}.up`, disabled: k === 0, onclick: () => move(-1) }, "↑"),
        h("button.quiet", { "aria-label": `Move ${name} down`, "data-field": `${k}.down`, disabled: k === this.blocks.length - 1, onclick: () => move(1) }, "↓")),
      h("strong", {}, name),
      h("span.fields", {}, Object.entries(fields).map(([field, range]) => this.field(k, field, range))),
      h("span.block-shape", {}, block.shape ? shapeText(block.shape) : "–",
        block.parameters ? h("small", {}, `${whole(block.parameters)} parameters`) : null,
        block.receptive && block.receptive[0] > 1 && block.shape?.length === 3 ? h("small", {}, `sees ${block.receptive.join(" × ")}`) : null),
      h("button.quiet", {
        "aria-label": `Remove ${name}`, "data-field": `${k}.remove`,
        onclick: () => { this.blocks.splice(k, 1); this.check(); },
      }, "✕"),
      block.problem ? h("p.problem", {}, block.problem) : null,
    );
  }

  /** Return the control of one field of a block. */
  field(k, name, range) {
    const block = this.blocks[k];
    const value = block[name] ?? range.default;
    const set = (changed) => {
      this.blocks[k] = { ...block, [name]: changed };
      this.check();
    };
    const key = { "data-field": `${k}.${name}` };
    const label = LABELS[name] ?? name.replaceAll("_", " ");
    if (typeof range.default === "boolean") {
      return h("label", {}, h("input", { type: "checkbox", checked: value, ...key, onchange: (event) => set(event.target.checked) }), label);
    }
    if (range.choices) {
      const select = h("select", { ...key, onchange: (event) => set(range.choices[event.target.selectedIndex]) },
        range.choices.map((choice) => h("option", { selected: choice === value }, String(choice))));
      return h("label", {}, label, select);
    }
    const step = range.default === null || Number.isInteger(range.default) ? 1 : "any";
    return h("label", {}, label, h("input", {
      type: "number", value, step, min: range.least, max: range.most, placeholder: USUAL[name], ...key,
      onchange: (event) => {
        if (event.target.value !== "") set(Number(event.target.value));
        else if (range.default === null) set(null);
        else this.check();
      },
    }));
  }

  /** Return the row of buttons that add a block. */
  adder() {
    const add = (kind) => {
      const fields = this.model.hello.blocks[kind];
      const block = { kind };
      for (const [name, { default: value }] of Object.entries(fields)) if (value !== null) block[name] = value;
      let place = this.blocks.length;
      if (this.blocks[place - 1]?.kind === "Dense") place--;
      if (MAPS.includes(kind) && ROWS.includes(this.blocks[place - 1]?.kind)) place--; // where there are maps yet
      this.blocks.splice(place, 0, block);
      this.check();
    };
    return h("li.adder", {}, h("span", {}, "Add"), Object.keys(this.model.hello.blocks).map((kind) =>
      h("button.quiet", { onclick: () => add(kind) }, blockName(kind))));
  }

  /** Train with these blocks. */
  async finish() {
    this.ready.disabled = true;
    try {
      await this.use(this.blocks);
      this.dialog.close();
    } catch (error) {
      this.fail(error.message);
    }
  }
}
