// The notebook's widget: the view, with a model that lies in the widget's data, or that the kernel trains.

import { fill, h, number, percent, say } from "./dom.js";
import { unpackModel } from "./living.js";
import { Remote } from "./remote.js";
import { render } from "./view.js";

/** A model at the other end of a notebook's comm. */
class Comm extends Remote {
  /** Take the host's model; its messages are those of the studio. */
  constructor(host) {
    super({}, { url: host });
  }

  /** Open the comm: it is there from the beginning. */
  connect() {
    const host = this.url;
    this.socket = { readyState: WebSocket.OPEN, send: (text) => host.send(JSON.parse(text)), close() {} };
    this.take = (content, buffers) => this.receive(buffers?.length ? buffers[0] : JSON.stringify(content));
    host.on("msg:custom", this.take);
    this.status = "open";
    // The view listens a moment later: what comes must not be missed.
    queueMicrotask(() => {
      this.ask("open", { version: 1 }).catch(({ message }) => this.emit("notice", { text: message }));
      this.ask("want", {}, undefined, false);
    });
  }

  /** End listening. */
  close() {
    this.closed = true;
    this.url.off("msg:custom", this.take);
  }
}

/** Play, step, rewind, and the rate; where training stands. */
const trainPanel = {
  zone: "top",
  id: "transport",
  title: "",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const send = async (kind, fields) => {
      try {
        say(status, "");
        await model.send(kind, fields);
      } catch ({ message }) {
        say(status, message);
      }
    };
    const follow = (kind, fields) => {
      context.slide(false);
      model.emit("now");
      return send(kind, fields);
    };
    const play = h("button.quiet.toggle", { onclick: () => follow(model.remote?.playing ? "pause" : "play") }, "Play");
    const step = h("button.quiet", { onclick: () => follow("step", { unit: "epoch" }) }, "Step an epoch");
    const rewind = h("button.quiet", { onclick: () => follow("restart", { epoch: 0 }) }, "Rewind");
    const rate = h("input.rate", { type: "text", inputmode: "decimal", "aria-label": "Learning rate", onchange: () => {
      const lr = Number(rate.value.trim().replace(",", "."));
      if (rate.value.trim() && Number.isFinite(lr)) return send("set", { settings: { lr } });
      return say(status, `“${rate.value}” is not a number: a learning rate is one such as 0.05.`);
    } });
    const where = h("span.stand");
    fill(el, h("div.buttons", {}, play, step, rewind, h("label.rate-label", {}, "Rate ", rate), where), status);
    const mark = () => {
      const { remote, latest, history } = model;
      if (!remote) return;
      say(play, remote.playing ? "Pause" : "Play");
      if (rate !== el.ownerDocument.activeElement) rate.value = String(remote.settings.lr);
      const held = (history.val_accuracy ?? []).at(-1) ?? history.train_accuracy?.at(-1);
      const parts = [`epoch ${latest?.epoch ?? remote.epoch}`];
      if (Number.isFinite(latest?.loss)) parts.push(`loss ${number(latest.loss)}`);
      if (Number.isFinite(held)) parts.push(`${percent(held)} correct`);
      say(where, parts.join(" · "));
      if (remote.problem) say(status, remote.problem);
    };
    const off = ["state", "frame"].map((event) => model.on(event, mark));
    mark();
    return () => off.forEach((end) => end());
  },
};

/** Draw a network that the kernel trains; the view follows training until another epoch is chosen. */
function training(host, el) {
  const model = new Comm(host);
  let view = null;
  let following;
  el.replaceChildren(h("p", {}, "Waiting for the kernel …"));
  model.on("notice", ({ text }) => view?.context.fail(text));
  model.on("hello", () => {
    following = undefined;
    view ??= render({ model, el, panels: [trainPanel] });
  });
  model.on("now", () => view?.context.set({ epoch: model.now }));
  model.on("frame", () => {
    if (!view) return;
    if (view.state.epoch === following || following === undefined || !model.epochs.includes(view.state.epoch)) {
      view.state.epoch = model.now;
      view.redraw();
    }
    following = model.now;
  });
  model.on("snapshot", ({ epoch }) => view?.state.epoch === epoch && view.redraw());
  return () => {
    model.close();
    view?.destroy();
  };
}

export default {
  /** Draw the widget; returns how to remove it. */
  render({ model, el }) {
    try {
      if (model.get("training")) return training(model, el);
      const bytes = model.get("data");
      const { model: kept } = unpackModel(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice());
      const view = render({ model: kept, el });
      return () => view.destroy();
    } catch (error) {
      el.replaceChildren(h("p", { role: "alert" }, `This widget cannot be shown: ${error.message}.`));
      return undefined;
    }
  },
};
