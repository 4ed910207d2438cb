// Loss and accuracy by epoch, with a line at the epoch shown.

import { fill, h, number } from "./dom.js";

let uPlot; // fetched with the first curves, once the page is drawn

/** Of the lines without a name the history says of which images they are. */
const LINES = [
  { title: "loss", series: [["train_loss", "training", "--line-a"], ["val_loss", "", "--line-b"]] },
  { title: "accuracy", series: [["train_accuracy", "training", "--line-a"], ["val_accuracy", "", "--line-b"]] },
];

/** Colours of other runs' lines. */
const OTHERS = ["--good", "--pick", "--plus", "--minus", "--muted"];

/** Fetch the library that draws, after the next frame. */
async function load() {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  uPlot = (await import("./vendor/uplot.js")).default;
}

/** Draw the curves of a history into an element; `seek(epoch)` is called when one is clicked. */
export function curves(el, seek) {
  let plots = [];
  let shown = 0;
  let history = {};
  let others = [];
  let measuredOn = "held out";
  let form = ""; // of the plots: their width and lines

  const colour = (name) => getComputedStyle(el).getPropertyValue(name).trim();

  /** Move the line of a plot to the epoch shown. */
  const place = (made) => {
    made.line.style.left = `${made.valToPos(shown, "x")}px`;
  };

  /** Return what there is to draw of one measure, undefined if nothing. */
  const measured = ({ title, series }) => {
    const found = series.filter(([key]) => history[key]?.some((value) => Number.isFinite(value)));
    if (!found.length) return undefined;
    const last = series.at(-1)[0];
    const beside = others.filter(({ rows }) => rows.some((row) => Number.isFinite(row[last] ?? NaN)));
    const epochs = beside.length ? [...new Set([...history.epoch, ...beside.flatMap(({ rows }) => rows.map(({ epoch }) => epoch))])].sort((a, b) => a - b) : history.epoch;
    const along = (at, values) => {
      const known = new Map(at.map((epoch, k) => [epoch, values[k]]));
      return epochs.map((epoch) => (Number.isFinite(known.get(epoch) ?? NaN) ? known.get(epoch) : null));
    };
    const data = [[...epochs], ...found.map(([key]) => along(history.epoch, history[key])),
      ...beside.map(({ rows }) => along(rows.map(({ epoch }) => epoch), rows.map((row) => row[last])))];
    return { title, found, beside, data };
  };

  /** Return a plot of one measure. */
  const plot = ({ title, found, beside, data }, width) => {
    const box = h("div.curve", {}, h("p.label", {}, title, found.map(([, name], k) => h(`span.key.key-${k}`, {}, name || measuredOn)),
      beside.map(({ name }, k) => {
        const key = h("span.key.key-other", {}, name);
        key.style.setProperty("--line-other", `var(${OTHERS[k % OTHERS.length]})`);
        return key;
      })));
    el.append(box);
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", gap: 2 };
    const options = {
      width,
      height: 80,
      legend: { show: false },
      padding: [6, 14, 0, 0], // room for half of the last epoch's number
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: title === "accuracy" ? (_, low) => [Math.min(low, 0.9), 1] : undefined } },
      axes: [{ ...axis, size: 20, space: 40, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : "")) }, { ...axis, size: 38, space: 26, values: (_, ticks) => ticks.map((tick) => number(tick)) }],
      hooks: {
        init: [
          (self) => {
            self.line = h("i.now"); // the epoch shown: moved, not drawn anew
            self.over.append(self.line);
          },
        ],
        draw: [(self) => place(self)],
      },
      series: [
        {},
        ...found.map(([, name, variable], k) => ({ label: name || measuredOn, stroke: () => colour(variable), width: 2, dash: k ? [5, 3] : undefined, points: { show: (history.epoch?.length ?? 0) < 2 } })),
        ...beside.map(({ name }, k) => ({ label: name, stroke: () => colour(OTHERS[k % OTHERS.length]), width: 1.5, dash: [2, 3], spanGaps: true, points: { show: false } })),
      ],
    };
    const made = new uPlot(options, data, box);
    made.over.addEventListener("click", () => {
      if (made.cursor.left >= 0) seek(made.posToVal(made.cursor.left, "x"));
    });
    return made;
  };

  return {
    /** Draw a history, and beside it the lines of other runs, `{name, rows}`; `images` names those measured beside those of training. Plots of the same lines stay. */
    draw(found, beside = [], images = "held out") {
      history = found ?? {};
      others = beside;
      measuredOn = images;
      el.classList.toggle("coming", !uPlot && Boolean(history.epoch?.length));
      if (!uPlot && history.epoch?.length) {
        load().then(() => this.draw(history, others, measuredOn));
        return;
      }
      const all = history.epoch?.length ? LINES.map(measured).filter(Boolean) : [];
      const count = LINES.filter(({ series }) => series.some(([key]) => history[key])).length;
      const width = Math.max(140, Math.floor(el.clientWidth / (el.clientWidth >= 392 ? count : 1)) - 12);
      const now = JSON.stringify([width, history.epoch?.length < 2, all.map(({ found: own, beside: runs }) => [own, runs.map(({ name }) => name)])]);
      if (now === form) {
        all.forEach(({ data }, k) => plots[k].setData(data));
        return;
      }
      form = now;
      for (const made of plots) made.destroy();
      fill(el);
      plots = all.map((line) => plot(line, width));
    },
    /** Move the line to an epoch. */
    at(epoch) {
      shown = epoch;
      plots.forEach(place);
    },
    /** Remove the plots. */
    destroy() {
      for (const made of plots) made.destroy();
      plots = [];
      form = "";
    },
  };
}
