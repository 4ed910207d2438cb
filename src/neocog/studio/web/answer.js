// What the network says: the class, and the probabilities of all classes as bars.

import { fill, h, number, percent, say } from "./dom.js";

const MOST = 10; // bars

/** Return whether the outputs are labels that do not exclude each other, or one output for two classes. */
const independent = ({ output_kind = "logits" }) => output_kind.startsWith("independent");
const sigmoid = (z) => 1 / (1 + Math.exp(-z));

/** Return the probabilities of the classes, as neocog's predict_proba; none if the last node tells no classes apart. */
export function probabilities(description, output) {
  if (!output || output.shape.length !== 1 || description.output_kind === "values") return [];
  const kind = description.output_kind;
  const weight = (k) => description.class_weight?.[k] ?? 1;
  if (independent(description)) {
    const p = Array.from(output.data, (z) => (kind === "independent-logits" ? sigmoid(z) : z)); // each on its own
    if (p.length > 1) return p.map((q, k) => q / weight(k) / (q / weight(k) + 1 - q));
    const shares = [(1 - p[0]) / weight(0), p[0] / weight(1)];
    return shares.map((share) => share / (shares[0] + shares[1]));
  }
  if (output.data.length < 2) return [];
  const logs = Array.from(output.data, (z, k) => (kind === "probabilities" ? Math.log(z) : z) - Math.log(weight(k)));
  const top = Math.max(...logs);
  const powers = logs.map((z) => Math.exp(z - top));
  const sum = powers.reduce((x, y) => x + y, 0);
  return powers.map((p) => p / sum);
}

/** Return the classes, the one that is predicted first: with class weights it need not be the most probable. */
export function ranking(output, description) {
  const data = output?.data ?? [];
  if (data.length === 1 && description && independent(description))
    return data[0] > (description.output_kind === "independent-logits" ? 0 : 0.5) ? [1, 0] : [0, 1];
  return Array.from(data, (_, k) => k).sort((a, b) => data[b] - data[a] || a - b);
}

/** Return what is said of an image: its class, or all labels over one half, counted as in training. */
export function saying(description, output, p) {
  const order = ranking(output, description);
  if (independent(description) && output.data.length > 1) {
    const half = (k) => 1 / (1 + (description.class_weight?.[k] ?? 1));
    const over = order.filter((k) => p[k] > half(k)).map((k) => `${className(description, k)}, ${percent(p[k])}`);
    return over.length ? over.join(" · ") : "No label is over one half.";
  }
  return `${className(description, order[0])}, ${percent(p[order[0]]).replace(">", "over")} sure`;
}

/** Return the name of a class. */
export function className(description, k) {
  return String(description.class_names?.[k] ?? k);
}

/** The panel with the answer. */
export const answerPanel = {
  zone: "right",
  id: "answer",
  title: "What it says",
  mount(el, context) {
    const verdict = h("p.verdict", { role: "status" });
    const truth = h("p.truth");
    const bars = h("div.bars", { role: "group", "aria-label": "Probabilities" });
    fill(el, verdict, truth, bars);
    const lines = [];
    let last = 0; // of one output for two classes, both are asked of it

    const draw = () => {
      const { description, state, model } = context;
      const output = context.values().get(description.output);
      if (!output) {
        say(verdict, "No answer: the values of this image are not in the page.");
        fill(bars);
        lines.length = 0;
        return;
      }
      const p = probabilities(description, output);
      if (!p.length) {
        const values = Array.from(output.data, (z, k) => (output.data.length > 1 ? `${className(description, k)} ` : "") + number(z, 4));
        say(verdict, output.shape.length === 1 ? values.join(" · ") : `Maps of ${output.shape.join(" × ")}: the last row shows them.`);
        say(truth, "");
        fill(bars);
        lines.length = 0;
        return;
      }
      const order = ranking(output, description);
      const best = order[0];
      last = output.data.length - 1;
      const bad = p.some((value) => !Number.isFinite(value));
      say(verdict, bad ? "The network's answer is not a number (NaN): training has diverged." : saying(description, output, p));
      const label = context.source === "sample" ? model.samples[state.sample]?.label : null;
      const known = label !== null && label !== undefined;
      const several = Array.isArray(label);
      const right = several ? p.every((value, k) => value > 0.5 === label.includes(k)) : label === best;
      const names = several ? label.map((k) => className(description, k)).join(", ") || "none of the labels" : className(description, label);
      say(truth, !known || bad ? "" : right ? "That is right." : `It is ${names}: a mistake.`);
      truth.classList.toggle("wrong", known && !right);
      const shown = p.length <= MOST ? p.map((_, k) => k) : order.slice(0, MOST);
      const longest = Math.max(...shown.map((k) => className(description, k).length));
      bars.style.setProperty("--names", `${Math.min(16, longest + 3)}ch`);
      while (lines.length > shown.length) lines.pop().row.remove();
      while (lines.length < shown.length) {
        const name = h("span.class");
        const fillBar = h("span.fill");
        const value = h("span.value");
        const row = h("button.bar", { title: "Why?" }, name, h("span.track", {}, fillBar), value);
        const line = { row, name, fillBar, value, k: 0 };
        row.addEventListener("click", () => context.set({ at: { node: context.description.output, index: [Math.min(line.k, last)] } }));
        lines.push(line);
        bars.append(row);
      }
      shown.forEach((k, i) => {
        const line = lines[i];
        line.k = k;
        say(line.name, className(description, k));
        say(line.value, percent(p[k]));
        line.fillBar.style.width = `${Number.isFinite(p[k]) ? 100 * p[k] : 0}%`;
        line.row.classList.toggle("best", k === best && !bad);
        line.row.classList.toggle("true", known && (several ? label.includes(k) : k === label));
        line.row.setAttribute("aria-label", `${className(description, k)}: ${percent(p[k])}, ${independent(description) ? "log-odds" : "logit"} ${number(output.data[Math.min(k, last)])}; why?`);
      });
    };
    return context.on("values", draw);
  },
};
