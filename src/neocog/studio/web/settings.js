// The settings of training: data, network, rate, batch, optimizer, seed; they may change while it runs.

import { rounded } from "./controls.js";
import { fill, h, say } from "./dom.js";
import { run } from "./tools.js";

const RATES = [-4, 1]; // the slider of the learning rate, as powers of ten
const BATCHES = [1, 4, 8, 16, 32, 64, 128, 256, 512];
const OPTIMIZERS = { sgd: "SGD", momentum: "Momentum", nesterov: "Nesterov", rmsprop: "RMSprop", adam: "Adam", adamw: "AdamW" };

/** The settings: data, network, optimizer, rate, batch, seed. */
export const settingsPanel = {
  mount(el, context) {
    const { model } = context;
    const said = h("p.status", { role: "status" });
    let pending = 0; // what was sent and not answered yet: meanwhile the controls show what was chosen
    let skipped = false;
    const change = async (work) => {
      pending++;
      const done = await run(null, said, () => work().then(() => true));
      pending--;
      if (skipped || !done) show(!done);
    };
    const set = (fields) => change(async () => {
      const answer = await model.send("set", fields);
      say(said, answer.note || (answer.anew ? "Training begins anew." : "Holds from the next batch on."));
    });
    let builder = null; // fetched when it is first opened
    const build = async () => {
      builder ??= new (await import("./builder.js")).Builder(context, (chosen) => model.send("set", { blocks: chosen }));
      await builder.open();
    };
    const data = h("select", { id: "set-data", onchange: () => {
      if (data.value === "mine") return model.emit("view", "mine");
      return change(async () => {
        await model.send("data", { source: data.value });
        say(said, "");
      });
    } });
    const net = h("select", { id: "set-network", onchange: () => (net.value === "blocks" ? run(null, said, build) : set({ network: net.value })) });
    const blocks = h("button.quiet", { id: "set-blocks", onclick: () => run(blocks, said, build) }, "Blocks …");
    const optimizer = h("select", { id: "set-optimizer", onchange: () => set({ settings: { optimizer: optimizer.value } }) });
    const rate = h("input", { id: "set-lr", type: "text", inputmode: "decimal", onchange: () => setNumber(rate, "lr") });
    const slider = h("input", { type: "range", min: RATES[0], max: RATES[1], step: 0.05, "aria-label": "Learning rate, as a power of ten", oninput: () => {
      rate.value = rounded(10 ** Number(slider.value));
      setNumber(rate, "lr");
    } });
    const batch = h("select", { id: "set-batch", onchange: () => set({ settings: { batch_size: Number(batch.value) } }) });
    const seed = h("input", { id: "set-seed", type: "number", min: 0, step: 1, onchange: () => setNumber(seed, "seed") });
    const momentum = h("input", { id: "set-momentum", type: "number", min: 0, max: 0.999, step: 0.1, onchange: () => setNumber(momentum, "momentum") });
    const decay = h("input", { id: "set-decay", type: "text", inputmode: "decimal", onchange: () => setNumber(decay, "weight_decay") });
    const augment = h("select", { id: "set-augment", onchange: () => set({ settings: { augment: augment.value } }) });
    const field = (label, name, ...controls) => h("div.field", { "data-setting": name }, h("label", { for: controls[0].id }, label), h("div.control", {}, controls));
    fill(el,
      field("Data", "data", data),
      field("Network", "net", net, blocks),
      field("Learning rate", "lr", rate, slider),
      field("Batch", "batch", batch),
      field("Optimizer", "optimizer", optimizer),
      field("Seed", "seed", seed),
      h("details.more-settings", {}, h("summary", {}, "More"), h("div.menu-items", {}, field("Momentum", "momentum", momentum), field("Weight decay", "decay", decay), field("Augmentation", "augment", augment))),
      said);

    /** Send a number; what is none is said, and the field shows what holds. */
    function setNumber(control, name) {
      const value = Number(control.value.trim().replace(",", ".").replace("−", "-"));
      if (control.value.trim() === "" || !Number.isFinite(value)) {
        said.classList.add("bad");
        say(said, `“${control.value}” is not a number. ${el.querySelector(`label[for="${control.id}"]`).textContent} stays ${model.remote.settings[name]}.`);
        control.value = rounded(model.remote.settings[name]);
        return undefined;
      }
      return set({ settings: { [name]: value } });
    }

    /** Show what the session has, but what a lesson hides. */
    function show(forced = false) {
      const { remote, hello } = model;
      skipped = pending > 0;
      if (!remote || !hello || skipped) return;
      for (const each of el.querySelectorAll("[data-setting]")) each.hidden = context.state.hide.includes(each.dataset.setting);
      const options = (select, list, value) => {
        if (select.options.length !== list.length || select !== document.activeElement) {
          fill(select, list.map(([key, label]) => h("option", { value: key }, label)));
        }
        select.value = value;
      };
      const { settings } = remote;
      options(data, [...hello.sources.map(({ id, name }) => [id, name]), ["mine", hello.data.own ? "my classes" : "draw my own …"]], hello.data.own ? "mine" : hello.data.id);
      options(net, [...hello.networks.map((name) => [name, name.replaceAll("_", " ")]), ["blocks", remote.blocks ? "own blocks" : "own blocks …"]], remote.network);
      options(optimizer, hello.settings.optimizer.choices.map((name) => [name, OPTIMIZERS[name] ?? name]), settings.optimizer);
      options(batch, [...new Set([...BATCHES, settings.batch_size])].sort((a, b) => a - b).map((size) => [size, String(size)]), settings.batch_size);
      options(augment, hello.settings.augment.choices.map((name) => [name, name]), settings.augment);
      for (const [control, name] of [[rate, "lr"], [seed, "seed"], [momentum, "momentum"], [decay, "weight_decay"]]) {
        if (forced || control !== document.activeElement) control.value = rounded(settings[name]);
      }
      if (slider !== document.activeElement) slider.value = Math.log10(Math.max(settings.lr, 1e-9));
    }
    model.on("state", () => show());
    model.on("hello", () => show());
    show();
  },
};
