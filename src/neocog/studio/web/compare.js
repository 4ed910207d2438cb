// Two networks on one input: same data, same beginning, same batches, one thing different; one pointer for both.

import { fill, h, say } from "./dom.js";
import { Remote } from "./remote.js";
import { run } from "./tools.js";
import { render } from "./view.js";

const DIFFERENCES = {
  lr: "learning rate",
  network: "network",
  batch_size: "batch",
  optimizer: "optimizer",
  seed: "seed",
  start: "beginning",
  labels: "labels",
};

/** The column of the second network, and what is different in it. */
export class Comparison {
  /** Take the first view. */
  constructor(first) {
    this.first = first;
    this.model = first.context.model;
    this.twin = null;
    this.said = h("p.status", { role: "status" });
    this.what = h("select", { "aria-label": "What is different", onchange: () => this.offer() },
      Object.entries(DIFFERENCES).map(([key, title]) => h("option", { value: key }, title)));
    this.value = h("span.value-box");
    this.start = h("button.primary", { onclick: () => run(this.start, this.said, () => this.begin()) }, "Compare");
    this.place = h("div.second");
    this.element = h("section.comparison", { "aria-label": "The second network" },
      h("div.line.comparison-head", {}, h("b", {}, "Network B"), h("span", {}, "is the same, but its"), this.what, this.value, this.start),
      this.said, this.place);
    first.context.root.querySelector("main .zone.middle").after(this.element);
    this.offer();
    this.model.on("hello", () => { this.end(); this.offer(); });
    this.model.on("viewed", () => { if (this.twin && this.model.view !== "compare") this.end(); });
    this.model.on("state", () => { if (!this.control || this.control.dataset.for !== this.what.value) this.offer(); });
  }

  /** Offer values of what is different. */
  offer() {
    const { remote, hello } = this.model;
    if (!remote || !hello) return;
    const key = this.what.value;
    const now = key === "network" ? remote.network : remote.settings[key];
    const choices = key === "network" ? hello.networks : hello.settings[key]?.choices;
    this.control = choices
      ? h("select", { "aria-label": "Its value" }, choices.filter((choice) => choice !== now).map((choice) => h("option", { value: choice }, choice)))
      : h("input", { type: "text", inputmode: "decimal", "aria-label": "Its value", value: key === "lr" ? String(Number((now * 10).toPrecision(3))) : String(key === "seed" ? now + 1 : Math.max(1, Math.round(now / 4))) });
    this.control.dataset.for = key;
    fill(this.value, this.control);
  }

  /** Open the second session and train both from the beginning, together. */
  async begin() {
    const { remote, hello } = this.model;
    const key = this.what.value;
    const raw = this.control.value.trim().replace(",", ".");
    const value = this.control.tagName === "SELECT" ? raw : Number(raw);
    if (value === "" || Number.isNaN(value)) throw new Error(`“${this.control.value}” is not a number.`);
    if (!hello.sources.some(({ id }) => id === hello.data.id)) {
      throw new Error("A second network needs the same images, and these lie in this session only: choose one of the data under Data.");
    }
    this.end();
    const wish = { data: hello.data.id, settings: { ...remote.settings } };
    if (remote.blocks) wish.blocks = remote.blocks;
    else wish.network = remote.network;
    if (key === "network") {
      delete wish.blocks;
      wish.network = value;
    } else wish.settings[key] = value;
    this.words = `${DIFFERENCES[key]} ${value}`;
    const twin = new Remote(wish);
    this.twin = twin;
    twin.on("notice", ({ text }) => { say(this.said, text); this.said.classList.add("bad"); });
    twin.on("connection", ({ text }) => { if (text) say(this.said, text); });
    await new Promise((resolve, reject) => {
      const off = twin.on("hello", () => { off(); resolve(); });
      setTimeout(() => reject(new Error("The second network did not come up within ten seconds.")), 10000);
    });
    this.show();
    await this.model.send("pause");
    await this.model.send("restart", { epoch: 0 });
    this.model.twins = [twin];
    this.model.emit("now");
    say(this.said, `Both begin anew. Press Play: they train on the same batches; B has the ${this.words}.`);
  }

  /** Show the second network beside the first, and link both pointers. */
  show() {
    const { twin, first } = this;
    this.view = render({ model: twin, el: this.place });
    const second = this.view.context;
    this.answer = second.root.querySelector(".panel.answer");
    this.answer.classList.add("second-answer");
    say(this.answer.querySelector("h2"), "What B says");
    first.context.root.querySelector(":scope > main > .zone.right > .panel.answer").after(this.answer);
    let leader = first.context.root;
    const lead = ({ target }) => { leader = second.root.contains(target) ? second.root : first.context.root; };
    for (const event of ["pointerover", "focusin"]) first.context.root.addEventListener(event, lead);
    const link = (from, to) => from.on("pick", () => {
      if (leader !== from.root) return;
      const { at, hover, trail } = from.state;
      if (key(at) + key(hover) !== key(to.state.at) + key(to.state.hover)) to.set({ at, trail, hover });
    });
    second.set({ at: first.context.state.at, trail: first.context.state.trail });
    const same = () => second.set({ image: Float32Array.from(first.context.image()) });
    const curves = () => {
      this.model.others = [...(this.model.others ?? []).filter(({ twin: other }) => !other), { name: "B", rows: twin.rows ?? [], twin: true }];
      this.model.emit("history", this.model.history);
    };
    this.links = [link(first.context, second), link(second, first.context), first.context.on("input", same), twin.on("row", curves),
      twin.on("frame", () => { this.view.state.epoch = twin.now; this.view.redraw(); })];
    same();
    curves();
  }

  /** Close the second session. */
  end() {
    this.model.others = (this.model.others ?? []).filter(({ twin }) => !twin);
    for (const off of this.links ?? []) off();
    this.links = [];
    this.view?.destroy();
    this.answer?.remove();
    this.view = null;
    this.twin?.close();
    this.twin = null;
    this.model.twins = [];
    say(this.said, "");
    this.model.emit("history", this.model.history);
  }
}

/** Return a place as text, to compare it with another. */
const key = (place) => (place ? `${place.node}:${place.index.join()};` : ";");
