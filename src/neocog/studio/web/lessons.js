// Lessons: texts in steps beside the view, readings that follow what is shown, and questions that check themselves.
// lessons.py binds a lesson to a network; MEASURES are those of measures.py, for pages without Python.

import { fill, h, number, offset, say, unravel } from "./dom.js";
import { Network } from "./network.js";
import { terms } from "./terms.js";
import { shifted } from "./view.js";

const NUDGE = 1e-3; // how far a pixel is moved to both sides for its slope
const TOLERANCE = 0.005; // of an answer that is not a whole number ...
const RELATIVE = 0.0005; // ... or of a large one, as in neocog.exercises

/** What a measure looks at: a network of its own with the weights shown, the image, the samples, the runs. */
export class Scene {
  constructor({ description, arrays, image, samples = [], runs = [] }) {
    this.network = new Network(description);
    this.network.load(arrays);
    Object.assign(this, { description, image, samples, runs });
  }

  /** Compute all values of an image; the next call overwrites them. */
  of(image = this.image) {
    return this.network.forward(image);
  }

  /** Return the name of the output before a softmax. */
  get head() {
    const { nodes } = this.description;
    const last = nodes[nodes.length - 1];
    return last.kind === "Softmax" || last.kind === "LogSoftmax" ? nodes[nodes.length - 2].name : last.name;
  }

  /** Return the class named for an image. */
  named(image = this.image) {
    return top(this.of(image).get(this.description.output).data);
  }

  /** Return a copy of the image with a pixel changed in all channels. */
  changed([row, column], change) {
    const image = Float64Array.from(this.image);
    const [channels, height, width] = this.description.input;
    for (let c = 0; c < channels; c++) {
      const k = (c * height + row) * width + column;
      image[k] = change(image[k]);
    }
    return image;
  }
}

/** Return the place of the largest number, the first of equal ones. */
const top = (data) => data.reduce((best, value, k) => (value > data[best] ? k : best), 0);

/** Return a number of the values by its place, [node, index ...]. */
function at(values, [node, ...index]) {
  const { shape, data } = values.get(node);
  return data[offset(shape, index)];
}

/** Return which maps of a node are 0 everywhere. */
function zero({ shape, data }) {
  const size = shape[1] * shape[2];
  return Array.from({ length: shape[0] }, (_, k) => data.subarray(k * size, (k + 1) * size).every((value) => value === 0));
}

/** Return the lowest number of a column. */
const lowest = (column) => Math.min(...column.filter(Number.isFinite));

/** Return the epoch at which a column of a run is lowest. */
const bestEpoch = (run, column) => run.epoch[run[column].indexOf(lowest(run[column]))];

/** What lessons ask for and show: functions of a scene and of named arguments. */
export const MEASURES = {
  value: (scene, { place }) => at(scene.of(), place),
  without: (scene, { place, pixel }) => at(scene.of(scene.changed(pixel, () => 0)), place),
  strongest(scene, { node }) {
    const { shape, data } = scene.of().get(node);
    return unravel(shape, top(data))[0] + 1;
  },
  silent: (scene, { node }) => zero(scene.of().get(node)).filter(Boolean).length,
  dead(scene, { node }) {
    const all = scene.samples.map((image) => zero(scene.of(image).get(node)));
    return all[0].filter((_, k) => all.every((one) => one[k])).length;
  },
  change(scene, { node, rows = 0, columns = 0 }) {
    const before = Float64Array.from(scene.of().get(node).data);
    const after = scene.of(shifted(scene.image, scene.description.input, rows, columns)).get(node).data;
    const size = before.reduce((sum, value) => sum + Math.abs(value), 0);
    return (100 * before.reduce((sum, value, k) => sum + Math.abs(after[k] - value), 0)) / size;
  },
  pushes(scene) {
    const { input } = scene.description;
    const first = scene.named();
    for (let k = 1; k < input[2]; k++) if (scene.named(shifted(scene.image, input, 0, k)) !== first) return k;
    return 0;
  },
  "best-epoch": ({ runs }, { run, column }) => bestEpoch(runs.find(({ name }) => name === run), column),
  "best-run": ({ runs }, { column }) => runs.reduce((best, run) => (lowest(run[column]) < lowest(best[column]) ? run : best)).name,
  guessing: (scene) => Math.log(scene.of().get(scene.description.output).data.length),
  pixel: (scene) => largestPath(scene).at(-1).index.slice(-2).map((k) => k + 1),
  slope(scene, { pixel }) {
    const k = top(scene.of().get(scene.head).data);
    const [low, high] = [-NUDGE, NUDGE].map((nudge) => scene.of(scene.changed(pixel, (x) => x + nudge)).get(scene.head).data[k]);
    return (high - low) / (2 * NUDGE);
  },
  direction(scene, { pixel }) {
    const slope = MEASURES.slope(scene, { pixel });
    return slope > 0 ? "raises" : slope < 0 ? "lowers" : "neither";
  },
};

const WHOLE = new Set(["strongest", "silent", "dead", "pushes", "best-epoch", "pixel"]); // must be exact

/** Follow the largest term from the named class down to a pixel: a list of {node, index}. */
export function largestPath(scene) {
  const values = scene.of();
  const head = values.get(scene.head);
  const path = [{ node: scene.head, index: unravel(head.shape, top(head.data)) }];
  while (path.at(-1).node !== "input") {
    const { node, index } = path.at(-1);
    const leading = terms(scene.network, values, node, index).parts.filter(({ from, at }) => from && at);
    const next = leading.reduce((best, part) => (Math.abs(part.product) > Math.abs(best.product) ? part : best));
    path.push({ node: next.from, index: next.at });
  }
  return path;
}

/** Check an answer to a question in the page: {right, text}, in the words of neocog.exercises. */
export function check(scene, { measure, arguments: given, hint, solution }, answer) {
  const expected = MEASURES[measure](scene, given);
  const wrong = (kind) => ({ right: false, text: `Not yet: ${kind}${hint}` });
  const right = { right: true, text: `Right. ${solution}` };
  const words = answer.trim().toLowerCase();
  if (typeof expected === "string") return words === expected.toLowerCase() ? right : wrong("");
  const wanted = [expected].flat();
  const found = read(words, wanted.length === 1);
  if (found.length !== wanted.length || !found.every(Number.isFinite)) {
    return wrong(`the answer is ${wanted.length === 1 ? "one number" : `${wanted.length} numbers`}; `);
  }
  const allowed = (value) => (WHOLE.has(measure) ? 0 : Math.max(TOLERANCE, RELATIVE * Math.abs(value)));
  return wanted.every((value, k) => Math.abs(found[k] - value) <= allowed(value)) ? right : wrong("");
}

/** Read numbers from what was typed; in a single one a comma is a decimal point. */
function read(text, single) {
  const plain = text.replace(/−/g, "-").replace(/^[([]|[)\]]$/g, "").trim();
  const parts = single ? [plain.replace(",", ".")] : plain.split(/[\s,]+/);
  return parts.map((part) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(part) ? Number(part) : NaN));
}

/** The panel of a lesson; `ask(step, answer, context)` lets Python check, where there is Python; null leaves it to the page. */
export function lessonPanel(lesson, ask = null) {
  return {
    zone: "left",
    id: "lesson",
    title: "",
    mount(el, context) {
      const { model } = context;
      el.parentElement.parentElement.prepend(el.parentElement); // it is read first
      const solved = new Set();
      const scene = () => new Scene({
        description: model.description,
        arrays: model.weights(context.state.epoch),
        image: context.image(),
        samples: model.samples.map(({ image }) => image),
        runs: lesson.runs,
      });
      let now = Math.min(lesson.steps.length, context.state.step ?? 1) - 1;
      let update = () => {};

      /** Show a step; `apply` brings what it speaks of into view. */
      const show = (apply, focus) => {
        const step = lesson.steps[now];
        const title = h("h3", { tabindex: -1 }, step.title);
        const readings = step.readings.map((reading) => [reading, h("dd")]);
        fill(
          el,
          h("p.label", {}, `Lesson · ${lesson.title}`),
          title,
          paragraphs(step.text),
          readings.length ? h("dl.readings", {}, readings.flatMap(([{ label }, value]) => [h("dt", {}, label), value])) : null,
          step.chart ? chart(lesson.runs, step.chart) : null,
          step.question ? question(step.question) : null,
          steps(),
        );
        update = () => readings.forEach(([reading, value]) => say(value, measured(reading)));
        context.set({ lesson: lesson.name, step: now + 1, ...(apply ? shown(step) : {}) });
        update();
        if (focus) title.focus({ preventScroll: true });
      };

      /** Return what a step shows, as changes of the view. */
      const shown = (step) => {
        const changes = {};
        if (step.epoch) changes.epoch = epoch(step.epoch);
        if (step.at) {
          const [node, ...index] = step.at;
          context.slide(false);
          Object.assign(changes, { epoch: changes.epoch ?? epoch("last"), sample: lesson.sample, at: { node, index }, reveal: matchMedia("(min-width: 620px)").matches });
        }
        return changes;
      };

      /** Return the epoch that a step names: "first", "last", or "best COLUMN" of the run shown. */
      const epoch = (name) => {
        if (name === "first") return model.epochs[0];
        const [run] = lesson.runs;
        const column = name.replace(/^best /, "");
        return run && column in run ? bestEpoch(run, column) : model.start ?? model.epochs.at(-1);
      };

      /** Return a reading as text; one of the picked pixel needs a picked pixel. */
      const measured = ({ measure, arguments: given }) => {
        const { at: place } = context.state;
        const found = { ...given };
        if (found.pixel === "pick") {
          if (place?.node !== "input") return "pick a pixel of the input";
          found.pixel = place.index.slice(-2);
        }
        const value = MEASURES[measure](scene(), found);
        return typeof value !== "number" ? [value].flat().join(", ") : measure === "change" ? `${Math.round(value)} %` : number(value);
      };

      /** Return the form of a question. */
      const question = (asked) => {
        const step = now;
        const input = h("input", { type: "text", autocomplete: "off", spellcheck: "false", "aria-label": "Your answer" });
        const verdict = h("p.verdict", { role: "status" });
        const answer = async () => {
          let found;
          try {
            found = (await ask?.(step, input.value, context)) ?? check(scene(), asked, input.value);
          } catch (error) {
            found = { right: false, text: error.message };
          }
          verdict.classList.toggle("right", found.right);
          say(verdict, found.text);
          if (found.right) solved.add(step);
          if (now === step) marks();
        };
        // No form: a frame of a course page may forbid them.
        input.addEventListener("keydown", ({ key }) => key === "Enter" && answer());
        const button = h("button.quiet", { onclick: answer }, "Check");
        return h("div.question", { role: "group", "aria-label": "Question" }, h("p", {}, asked.text), h("div.buttons", {}, input, button), verdict);
      };

      /** Return the way to the other steps. */
      const steps = () => {
        const go = (k) => {
          now = k;
          show(true, true);
        };
        const dots = lesson.steps.map(({ title }, k) =>
          h("button.dot", { title, "data-step": k, "aria-current": k === now ? "step" : null, onclick: () => go(k) }));
        const back = h("button.quiet", { disabled: now === 0, onclick: () => go(now - 1) }, "Back");
        const next = h("button.quiet.next", { disabled: now === lesson.steps.length - 1, onclick: () => go(now + 1) }, "Next");
        requestAnimationFrame(marks);
        return h("nav.steps", { "aria-label": "Steps of the lesson" }, back, h("span.dots", {}, dots), next);
      };

      /** Mark the steps whose question is answered. */
      const marks = () => {
        for (const dot of el.querySelectorAll(".dot")) {
          const k = Number(dot.dataset.step);
          const asks = Boolean(lesson.steps[k].question);
          say(dot, solved.has(k) ? "✓" : asks ? "?" : "");
          dot.setAttribute("aria-label", `Step ${k + 1}: ${lesson.steps[k].title}${solved.has(k) ? ", solved" : asks ? ", with a question" : ""}`);
        }
      };

      if (lesson.hide.length) context.set({ hide: [...new Set([...context.state.hide, ...lesson.hide])] });
      if (!context.state.at) context.set({ sample: lesson.sample });
      show(!context.state.at, false);
      queueMicrotask(() => context.slide(false)); // nothing moves by itself beside a text
      const off = ["values", "pick"].map((event) => context.on(event, () => update()));
      return () => off.forEach((end) => end());
    },
  };
}

/** Return the paragraphs of a text: **strong**, *emphasis* and `code` are set so. */
export function paragraphs(text) {
  return text.split(/\n\s*\n/).map((one) =>
    h("p", {}, one.split(/(\*\*[^*]+\*\*|\*[^*]+\*|`[^`]+`)/).map((part) => {
      if (/^\*\*.+\*\*$/.test(part)) return h("strong", {}, part.slice(2, -2));
      if (/^\*.+\*$/.test(part)) return h("em", {}, part.slice(1, -1));
      return /^`.+`$/.test(part) ? h("code", {}, part.slice(1, -1)) : part;
    })));
}

/** Draw a column of the runs as lines, and as a table for those who want the numbers. */
function chart(runs, column) {
  const [width, high] = [240, 120];
  const rows = runs.map((run) => [run.name, run.epoch, run[column]]);
  const values = rows.flatMap(([, , numbers]) => numbers.filter(Number.isFinite));
  const most = Math.max(...values);
  const last = Math.max(...rows.flatMap(([, epochs]) => epochs));
  const place = (epoch, value) => `${((epoch / (last || 1)) * width).toFixed(1)} ${(high - (value / (most || 1)) * high).toFixed(1)}`;
  const lines = rows.map(([, epochs, numbers], k) =>
    h(`svg:path.run-${k}`, { d: `M${epochs.flatMap((epoch, i) => (Number.isFinite(numbers[i]) ? [place(epoch, numbers[i])] : [])).join("L")}` }));
  const words = { train_loss: "Loss on the training pictures", val_loss: "Loss on pictures never seen" }[column] ?? column;
  const epochs = [...new Set(rows.flatMap(([, all]) => all))].sort((a, b) => a - b);
  const table = h("table", {}, h("tr", {}, h("th", {}, "epoch"), rows.map(([name]) => h("th", {}, name))),
    epochs.map((epoch) => h("tr", {}, h("th", {}, String(epoch)), rows.map(([, all, numbers]) => h("td", {}, number(numbers[all.indexOf(epoch)] ?? NaN))))));
  return h(
    "figure.chart",
    {},
    h("figcaption", {}, words, rows.map(([name], k) => h(`span.key.run-${k}`, {}, name))),
    h("svg:svg", { viewBox: `-2 -4 ${width + 4} ${high + 8}`, role: "img", "aria-label": `${words}; the table has the numbers.` }, h("svg:path.axis", { d: `M0 0V${high}H${width}` }), lines),
    h("p.ends", {}, h("span", {}, `${number(most, 2)} at most`), h("span", {}, `epoch ${last}`)),
    h("details", {}, h("summary", {}, "As a table"), h("div.scroll", { tabindex: 0, role: "region", "aria-label": words }, table)),
  );
}
