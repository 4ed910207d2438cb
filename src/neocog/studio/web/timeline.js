// Time: a slider over the stored epochs, play, and the curves above it.

import { curves } from "./curves.js";
import { calm, fill, h, percent, say } from "./dom.js";

const PACE = 700; // milliseconds an epoch, when played
const DRAWN = 250; // milliseconds between two drawings of curves that grow

/** The panel with slider and curves. */
export const timePanel = {
  zone: "bottom",
  id: "time",
  title: "Training, epoch by epoch",
  mount(el, context) {
    const { model } = context;
    const slider = h("input", { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": "Epoch shown" });
    const label = h("output.epoch");
    const note = h("p.hint");
    const chart = h("div.curves");
    const play = h("button.play", { "aria-label": "Play the training", onclick: () => (timer ? halt() : start()) }, "▶");
    let timer = 0;
    fill(el, chart, h("div.scrub", {}, play, slider, label), note);
    const drawn = curves(chart, (epoch) => {
      halt();
      context.set({ epoch });
    });

    const show = () => {
      const { epochs, history } = model;
      const { epoch } = context.state;
      slider.max = String(Math.max(0, epochs.length - 1));
      slider.value = String(Math.max(0, epochs.indexOf(epoch)));
      slider.disabled = play.disabled = epochs.length < 2;
      const row = (history.epoch ?? []).indexOf(epoch);
      const accuracy = history.val_accuracy?.[row] ?? history.train_accuracy?.[row];
      const words = epoch === 0 ? "epoch 0: untrained" : `epoch ${epoch} of ${epochs.at(-1) ?? epoch}`;
      say(label, `${words}${Number.isFinite(accuracy) ? ` · ${percent(accuracy)} correct` : ""}`);
      slider.setAttribute("aria-valuetext", label.textContent);
      say(note, epochs.length < 2 && !model.can.train ? "Only one epoch is stored." : model.precision?.(epoch) === "float16" ? "Weights of this epoch are stored in half precision (float16): numbers differ in the fourth digit." : "");
      el.parentElement.classList.toggle("nothing", epochs.length < 2 && !history.epoch?.length && !model.can.train);
      drawn.at(epoch);
    };
    slider.addEventListener("input", () => {
      halt();
      context.set({ epoch: model.epochs[Number(slider.value)] });
    });
    const halt = () => {
      clearInterval(timer);
      timer = 0;
      say(play, "▶");
      play.setAttribute("aria-label", "Play the training");
    };
    const start = () => {
      context.slide(false);
      const at = model.epochs.indexOf(context.state.epoch);
      context.set({ epoch: model.epochs[at === model.epochs.length - 1 ? 0 : at + 1] });
      say(play, "❚❚");
      play.setAttribute("aria-label", "Pause");
      timer = setInterval(() => {
        const now = model.epochs.indexOf(context.state.epoch);
        if (now >= model.epochs.length - 1) halt();
        else context.set({ epoch: model.epochs[now + 1] });
      }, calm() ? 2 * PACE : PACE);
    };
    let width = 0;
    const fit = () => {
      if (Math.abs(chart.clientWidth - width) < 2) return;
      width = chart.clientWidth;
      drawn.draw(model.history, model.others, model.measured);
      show();
    };
    const watch = new ResizeObserver(fit);
    watch.observe(chart);
    const redraw = () => {
      drawn.draw(model.history, model.others, model.measured);
      show();
    };
    let due = 0;
    const grow = () => {
      due ||= setTimeout(() => {
        due = 0;
        redraw();
      }, DRAWN);
    };
    const off = [context.on("epoch", show), context.on("model", redraw), context.on("epochs", show), model.on?.("history", grow)];
    return () => {
      halt();
      clearTimeout(due);
      watch.disconnect();
      drawn.destroy();
      off.forEach((end) => end?.());
    };
  },
};
