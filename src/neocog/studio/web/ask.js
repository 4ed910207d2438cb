// Questions to Python: where a gradient comes from, whether it is right, which pixels decided, how the loss lies.

import { bound, drawImage } from "./colour.js";
import { fill, h, offset, say } from "./dom.js";
import { className, heat, newest, num, picture, run, shown, visible } from "./tools.js";

const MOST = 12; // images of a gradient, and products of an image, that are drawn

/** The panel that follows the gradient of a weight to images and products, and takes exactly that step. */
export const gradientPanel = {
  title: "Gradient",
  mount(el, context) {
    const { model } = context;
    let asked = null;
    let answer = null;
    const status = h("p.status", { role: "status" });
    const head = h("div.gradient-head");
    const list = h("div.contributions");
    const products = h("div.products");
    const step = h("button.primary", { hidden: true, onclick: take }, "Take exactly this step");
    const outcome = h("p.outcome", { role: "status" });
    fill(el, status, head, step, outcome, list, products);

    /** Ask for the gradient of the weight that is chosen. */
    const refresh = newest(async () => {
      if (!visible(el)) return;
      if (!model.weight) {
        step.hidden = true;
        fill(head);
        fill(list);
        fill(products);
        return say(status, "Choose a weight under Weights first: click any number there.");
      }
      if (model.remote?.playing) return say(status, "Pause first: a gradient belongs to the batch that comes next.");
      await run(null, status, async () => {
        if (asked !== model.weight) say(outcome, "");
        asked = model.weight;
        answer = await model.send("ask", { about: "gradient", ...asked });
        say(status, "");
        draw();
      });
    });

    /** Draw the sum: image by image, the largest first. */
    function draw() {
      const { value, gradient, change, after, images, rest, formula } = answer;
      fill(head, h("p", {}, h("b", {}, `${asked.array}[${asked.index.join(", ")}] = ${num(value)}`)),
        h("p", {}, "In the batch that comes next its gradient is ", h("b", {}, num(gradient, 4)), ". The step is"),
        h("p.formula", {}, h("code", {}, `${inNumbers(answer)} = ${num(change, 4)}`)),
        h("p.hint", {}, formula),
        h("p", {}, "and the weight becomes ", h("b", {}, num(after, 6)), "."));
      step.hidden = false;
      const shape = answer.arrays.get("images")?.shape;
      const size = shape ? shape.slice(1).reduce((a, b) => a * b, 1) : 0;
      const scale = bound(images.map(({ total }) => total));
      fill(list, h("h3", {}, "Which images it comes from"), images.slice(0, MOST).map((image, k) => {
        const row = h("button.contribution", { "aria-label": `${className(model, image.label)} gives ${num(image.total)}; its products`, onclick: () => open(k) },
          shape ? picture(answer.arrays.get("images").data.slice(k * size, (k + 1) * size), shape.slice(1), model.description.tone) : null,
          h("span.who", {}, className(model, image.label)), bar(image.total, scale), h("span.value", {}, num(image.total)));
        return row;
      }), images.length > MOST || rest ? h("p.hint", {}, `All others together: ${num(rest + images.slice(MOST).reduce((sum, { total }) => sum + total, 0))}`) : null);
      fill(products);
      if (images.length) open(0);
    }

    /** Show the products of an image. */
    function open(k) {
      const image = answer.images[k];
      list.querySelectorAll(".contribution").forEach((row, i) => row.classList.toggle("on", i === k));
      const scale = bound(image.products.map(({ value }) => value));
      fill(products, h("h3", {}, `${className(model, image.label)}: its products`),
        image.products.slice(0, MOST).map(({ value, note, parts }) => h("div.product", {}, bar(value, scale), h("span.value", {}, num(value)),
          h("span.factors", {}, (parts ?? []).map((part) => `${part.symbol} ${num(part.value)}`).join(" × ") || note))),
        image.products.length > MOST ? h("p.hint", {}, `and ${image.products.length - MOST} more`) : null);
    }

    /** Step one batch and compare the weight with what was said. */
    async function take() {
      await run(step, status, async () => {
        const { array, index } = asked;
        const told = answer; // a newer answer may come meanwhile
        const before = model.latest?.tick;
        await model.send("step", { unit: "batch", count: 1 });
        const found = await model.frameAfter(before);
        const { shape, data } = found.get(array);
        const now = data[offset(shape, index)];
        const off = Math.abs(now - told.after);
        const right = off <= 1e-5 * Math.max(1e-3, Math.abs(told.after));
        outcome.classList.toggle("good", right);
        say(outcome, `The step was taken. It was ${num(told.value, 6)} and is ${num(now, 6)}: moved by ${num(now - told.value, 4)}, said ${num(told.change, 4)}. ${right ? "Exactly." : `Off by ${num(off)}.`}`);
      });
      refresh();
    }

    model.on("weight", refresh);
    model.on("shown", refresh);
    model.on("hello", () => { answer = null; refresh(); });
    let playing = false;
    model.on("state", (state) => { if (playing && !state.playing) refresh(); playing = state.playing; });
    refresh();
  },
};

/** Write the optimizer's formula with the numbers in it, as far as it has one. */
function inNumbers({ value, gradient, rate, formula, numbers }) {
  const decay = numbers.decay ? ` + ${num(numbers.decay)} × ${num(value)}` : "";
  const slope = decay ? `(${num(gradient, 4)}${decay})` : num(gradient, 4);
  if (formula.startsWith("as ")) return formula;
  const memory = numbers.momentum ? `${num(numbers.momentum)} × ${num(numbers.velocity)} ` : "";
  return `${memory}− ${num(rate)} × ${slope}`;
}

/** Return a bar left (blue) or right (orange) of a middle line. */
function bar(value, scale) {
  const fillBar = h(value < 0 ? "span.fill.minus" : "span.fill");
  fillBar.style.width = `${(50 * Math.abs(value)) / scale}%`;
  fillBar.style.left = value < 0 ? `${50 - (50 * Math.abs(value)) / scale}%` : "50%";
  return h("span.beam", {}, fillBar);
}

/** The panel in which a nudge meets backward's number. */
export const provePanel = {
  title: "Prove it",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const slider = h("input.wide", { type: "range", min: -5, max: 0, step: 0.05, value: -0.3, "aria-label": "Nudge, as a power of ten" });
    const picture_ = h("svg:svg.secant", { viewBox: "-110 -80 220 160", role: "img" });
    const sums = h("p.proof");
    const verdict = h("p.verdict-small", { role: "status" });
    fill(el, status, h("label.nudge", {}, "Nudge the weight by ", slider), picture_, sums, verdict);

    const refresh = newest(async () => {
      if (!visible(el)) return;
      if (!model.weight) {
        fill(picture_);
        say(sums, "");
        say(verdict, "");
        return say(status, "Choose a weight under Weights first: click any number there.");
      }
      await run(null, status, async () => {
        const nudge = 10 ** Number(slider.value);
        const found = await model.send("ask", { about: "prove", ...model.weight, nudge });
        say(status, `${model.weight.array}[${model.weight.index.join(", ")}]: the loss with the weight a little smaller, and a little larger.`);
        draw(found, nudge);
      });
    });

    /** Draw the secant through both losses and the tangent that backward says. */
    function draw({ gradient, quotients, loss }, nudge) {
      const best = quotients.reduce((a, b) => (Math.abs(Math.log(a.nudge / nudge)) < Math.abs(Math.log(b.nudge / nudge)) ? a : b));
      const { minus, plus, quotient, nudge: size } = best;
      const spread = Math.max(Math.abs(plus - loss), Math.abs(minus - loss), Math.abs(gradient * size), 1e-300);
      const y = (value) => (-60 * (value - loss)) / spread;
      const dot = (x, value, kind) => h(`svg:circle.${kind}`, { cx: x, cy: y(value), r: 4 });
      const line = (slope, middle, kind) => h(`svg:line.${kind}`, { x1: -105, x2: 105, y1: y(middle - slope * size * 1.05), y2: y(middle + slope * size * 1.05) });
      const bend = (plus + minus - 2 * loss) / 2;
      const tilt = (plus - minus) / 2;
      const curve = Array.from({ length: 41 }, (_, k) => {
        const t = (k - 20) / 20;
        return `${k ? "L" : "M"}${100 * t} ${y(loss + tilt * t + bend * t * t)}`;
      }).join("");
      picture_.setAttribute("aria-label", `Difference quotient ${num(quotient, 5)}, gradient ${num(gradient, 5)}`);
      fill(picture_, h("svg:path.loss", { d: curve }), line(quotient, (plus + minus) / 2, "quotient"), line(gradient, loss, "tangent"),
        dot(-100, minus, "end"), dot(100, plus, "end"), dot(0, loss, "middle"),
        h("svg:text", { x: -106, y: 76 }, `w − ${num(size, 2)}`), h("svg:text", { x: 106, y: 76, "text-anchor": "end" }, `w + ${num(size, 2)}`));
      fill(sums, h("span.quotient", {}, `(${num(plus, 8)} − ${num(minus, 8)}) / (2 × ${num(size, 2)}) = ${num(quotient, 6)}`), h("br"),
        h("span.tangent", {}, `backward says ${num(gradient, 6)}`));
      const off = Math.abs(quotient - gradient) / Math.max(Math.abs(gradient), 1e-12);
      const met = off < 1e-3;
      verdict.classList.toggle("good", met);
      say(verdict, met ? `They meet: equal to ${off < 1e-9 ? "nine or more" : Math.floor(-Math.log10(off))} digits.` : `They differ by ${num(100 * off, 2)} %. Make the nudge smaller.`);
    }

    slider.addEventListener("input", refresh);
    model.on("weight", refresh);
    model.on("shown", refresh);
    refresh();
  },
};

/** The panel of maps that say which pixels decided: three of them side by side. */
export const heatmapsPanel = {
  title: "Heatmaps",
  mount(el, context) {
    const { model } = context;
    const first = ["saliency", "grad-cam", "occlusion"];
    let methods = first;
    const status = h("p.status", { role: "status" });
    const label = h("select", { "aria-label": "Class", onchange: () => refresh() });
    const more = h("details.more", {}, h("summary", {}, "Other methods"));
    const figures = h("div.heatmaps");
    fill(el, h("div.line", {}, h("label", {}, "Which pixels speak for ", label)), status, figures, more);

    const refresh = newest(async () => {
      if (!visible(el) || model.status !== "open") return;
      await run(null, status, async () => {
        await shown(context);
        const wanted = label.value === "" ? {} : { label: Number(label.value) };
        const answers = await Promise.all(methods.map((method) => model.send("attribute", { method, ...wanted }).catch((error) => ({ method, problem: error.message }))));
        const said = answers.find((answer) => !answer.problem);
        say(status, said ? `For the class ${className(model, said.label)}.` : "");
        fill(figures, answers.map(draw));
      });
    });

    /** Draw a map beside its name, over the image. */
    function draw({ method, shows, arrays, problem }) {
      if (problem) return h("figure.heatmap", {}, h("p.problem", {}, problem), h("figcaption", {}, h("b", {}, method)));
      const { shape, data } = arrays.get("map");
      const canvas = h("canvas.map", { role: "img", "aria-label": `${method}: ${shows}` });
      heat(canvas, data, shape[0], shape[1]);
      const under = h("canvas.under", { "aria-hidden": "true" });
      drawImage(under, Float32Array.from(context.values().get("input").data), context.shape, context.tone);
      return h("figure.heatmap", {}, h("div.stack", {}, under, canvas), h("figcaption", {}, h("b", {}, method), h("small", {}, shows)));
    }

    /** Offer the classes and the other methods of this network. */
    function offer() {
      if (!model.hello) return;
      const names = model.description.class_names ?? Array.from({ length: model.description.nodes.at(-1).shape[0] }, (_, k) => String(k));
      fill(label, h("option", { value: "" }, "what it says"), names.slice(0, 200).map((name, k) => h("option", { value: k }, name)));
      fill(more, h("summary", {}, "Other methods"), Object.entries(model.hello.methods).map(([name, what]) => {
        const box = h("input", { type: "checkbox", checked: methods.includes(name), onchange: () => {
          methods = box.checked ? [...methods, name] : methods.filter((other) => other !== name);
          refresh();
        } });
        return h("label.method", {}, box, h("span", {}, h("b", {}, name), h("small", {}, what)));
      }));
      methods = first.filter((name) => name in model.hello.methods);
    }

    offer();
    model.on("hello", () => { offer(); refresh(); });
    model.on("shown", refresh);
    model.on("frame", refresh);
    context.on("input", refresh);
    refresh();
  },
};

/** The panel of the loss landscape around the weights. */
export const landscapePanel = {
  title: "Loss landscape",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const canvas = h("canvas.landscape", { role: "img", "aria-label": "Loss around the weights" });
    const span = h("select", { "aria-label": "Span", onchange: () => refresh(true) }, [0.25, 0.5, 1, 2].map((value) => h("option", { value, selected: value === 1 }, `± ${value}`)));
    const live = h("input", { type: "checkbox", checked: true });
    const button = h("button", { onclick: () => refresh(true) }, "Measure");
    fill(el, h("p.hint", {}, "The weights are the middle; each axis moves all of them along one random direction, by up to their own length."),
      h("div.line", {}, h("label", {}, "span ", span), h("label", {}, live, " after each epoch"), button), h("div.landscape-frame", {}, canvas), status);

    let asked = false;
    const measure = newest(async () => {
      if (!visible(el) || model.status !== "open") return;
      await run(button, status, async () => {
        const found = await model.send("measure", { what: "landscape", span: Number(span.value), steps: 11 });
        draw(found);
      });
    });
    const refresh = (forced) => { if (forced || live.checked || !asked) { asked = true; measure(); } };

    /** Draw the loss on the plane, with lines of equal loss; the middle is marked. */
    function draw({ offsets, centre, arrays }) {
      const { data } = arrays.get("losses");
      const n = offsets.length;
      const low = Math.min(...Array.from(data).filter(Number.isFinite));
      const size = 420;
      canvas.width = size;
      canvas.height = size;
      const top = Math.max(...Array.from(data).filter(Number.isFinite));
      const level = (value) => Math.log(1 + Math.max(0, value - low) / Math.max(1e-9, (top - low) / 50)) / Math.log(51);
      const pen = canvas.getContext("2d");
      const pixels = pen.createImageData(size, size);
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          const value = level(between(data, n, (i / (size - 1)) * (n - 1), (j / (size - 1)) * (n - 1)));
          const band = (value * 12) % 1;
          const line = band < 0.08 ? 0.82 : 1;
          const at = 4 * (i * size + j);
          pixels.data[at] = line * (18 + 225 * value ** 0.8);
          pixels.data[at + 1] = line * (74 + 120 * value);
          pixels.data[at + 2] = line * (120 + 30 * (1 - value));
          pixels.data[at + 3] = 255;
        }
      }
      pen.putImageData(pixels, 0, 0);
      pen.strokeStyle = "#fff";
      pen.lineWidth = 3;
      pen.beginPath();
      pen.arc(size / 2, size / 2, 9, 0, 2 * Math.PI);
      pen.stroke();
      say(status, `Loss here ${num(centre)}; lowest in sight ${num(low)}, highest ${num(top)}.`);
    }

    model.on("row", () => refresh(false));
    model.on("hello", () => { asked = false; refresh(false); });
    model.on("shown", () => refresh(false));
    refresh(false);
  },
};

/** Return the value between the points of a square grid, by a smooth curve through them. */
function between(data, n, y, x) {
  const [i, j] = [Math.min(n - 2, Math.floor(y)), Math.min(n - 2, Math.floor(x))];
  const at = (a, b) => {
    const value = data[Math.min(n - 1, Math.max(0, a)) * n + Math.min(n - 1, Math.max(0, b))];
    return Number.isFinite(value) ? value : 1e30;
  };
  const along = (a) => cubic(at(a, j - 1), at(a, j), at(a, j + 1), at(a, j + 2), x - j);
  return cubic(along(i - 1), along(i), along(i + 1), along(i + 2), y - i);
}

/** Return the cubic through b and c whose slopes there are those of their neighbours. */
function cubic(a, b, c, d, t) {
  return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}
