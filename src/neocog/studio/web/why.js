// Why a number is what it is: its patch, the kernel, their products, the sum, and the way down to the pixels.

import { className, probabilities } from "./answer.js";
import { bound } from "./colour.js";
import { calm, fill, fixed, h, number, offset, percent, say, where } from "./dom.js";
import { numberGrid } from "./maps.js";

const CHANNELS = 1; // patches drawn at first
const TERMS = 8; // listed at first
const DEEP = 40; // steps down at most

/** The panel that explains the number looked at. */
export const whyPanel = {
  zone: "right",
  id: "why",
  title: "Why this number",
  mount(el, context) {
    const panel = el.parentElement;
    const close = h("button.quiet.close", { "aria-label": "Let go of the number", onclick: () => context.set({ at: null }) }, "✕");
    const crumbs = h("nav.crumbs", { "aria-label": "The way here" });
    const head = h("p.head", { role: "status" });
    const value = h("p.value");
    const body = h("div.sums");
    const course = h("div.course", { hidden: true });
    let waiting = 0;
    panel.append(close);
    fill(el, crumbs, h("div.headline", {}, head, value), body, course);

    // The same number through training, as soon as nothing else is to be drawn.
    let points = [];
    let known = [];
    const later = () => {
      clearTimeout(waiting);
      const { at, hover, image, sample, shift } = context.state;
      const asked = [at && short(context, at), image, sample, shift, context.model.epochs.join()];
      if (at && !hover && asked.every((part, k) => part === known[k])) {
        drawCourse(course, context, points);
        return;
      }
      course.hidden = true;
      known = [];
      if (!at || hover) return;
      waiting = setTimeout(() => {
        points = context.through(at);
        known = asked;
        drawCourse(course, context, points);
      }, 120);
    };
    let all = false;
    let last = "";

    const draw = () => {
      const place = context.pick();
      const pinned = context.state.at;
        panel.classList.toggle("pinned", Boolean(pinned));
      context.root.classList.toggle("holding", Boolean(pinned));
      close.hidden = !pinned;
      const key = place ? `${place.node}:${place.index.join()}` : "";
      if (key !== last) all = false;
      last = key;
      crumbs.hidden = !pinned || !context.state.trail.length;
      if (!crumbs.hidden) fill(crumbs, trail(context));
      if (!place) {
        say(head, "Point at any number in the maps: here you see where it comes from. Click to keep it.");
        say(value, "");
        const slides = context.description.page !== false && !calm() && context.description.nodes.some(({ kind }) => kind === "Conv2D");
        fill(body, slides ? h("button.quiet", { onclick: () => context.slide() }, "Watch a kernel slide") : null);
        later();
        return;
      }
      const node = context.node(place.node);
      const found = context.values().get(place.node);
      const shown = found ? found.data[offset(node.shape, place.index)] : NaN;
      if (context.sliding) head.setAttribute("aria-live", "off");
      else head.removeAttribute("aria-live");
      say(head, title(context, node, place.index));
      say(value, found ? number(shown, 4) : "not in the page");
      fill(body, explain(context, node, place, shown, all, () => {
        all = true;
        draw();
      }));
      later();
    };
    const off = ["pick", "values"].map((event) => context.on(event, draw));
    return () => {
      clearTimeout(waiting);
      off.forEach((end) => end());
    };
  },
};

/** Draw a number's course through the stored epochs; a click goes to one. */
function drawCourse(el, context, points) {
  el.hidden = points.length < 2;
  if (el.hidden) return;
  const [width, height, edge] = [320, 54, 7];
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const last = points.at(-1).epoch;
  const x = (epoch) => edge + ((width - 2 * edge) * (epoch - points[0].epoch)) / (last - points[0].epoch);
  const y = (value) => edge + ((height - 2 * edge) * (high - value)) / (high - low || 1);
  const now = points.find(({ epoch }) => epoch === context.state.epoch);
  const line = points.map(({ epoch, value }) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const words = `From ${number(values[0])} at epoch ${points[0].epoch} to ${number(values.at(-1))} at epoch ${last}.`;
  const svg = h(
    "svg:svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `This number at each stored epoch. ${words}` },
    h("svg:line.zero", { x1: edge, x2: width - edge, y1: y(0), y2: y(0) }),
    h("svg:polyline", { points: line }),
    points.map(({ epoch, value }) => h("svg:circle", { cx: x(epoch), cy: y(value), r: 2.5 })),
    now ? h("svg:circle.now", { cx: x(now.epoch), cy: y(now.value), r: 5 }) : null,
  );
  svg.addEventListener("click", (event) => {
    const bounds = svg.getBoundingClientRect();
    const at = points[0].epoch + ((last - points[0].epoch) * ((event.clientX - bounds.left) / bounds.width - edge / width)) / (1 - (2 * edge) / width);
    context.set({ epoch: at });
  });
  fill(el, h("p.label", {}, "The same number through training"), svg, h("p.hint", {}, words));
}

/** Return the name of a number. */
function title(context, node, index) {
  const place = node.name === context.description.output && context.classNames ? `class ${className(context.description, index[0])}` : where(node.shape, index);
  return node.name === "input" ? `input, ${place.replace("map", node.shape[0] === 3 ? "channel" : "map")}` : `${node.name}, ${place}`;
}

/** Return the buttons that lead back. */
function trail(context) {
  const { trail: steps, at } = context.state;
  const found = steps.flatMap((place, k) => [
    h("button.crumb", { onclick: () => context.set({ at: place, trail: steps.slice(0, k) }), "aria-label": `Back to ${title(context, context.node(place.node), place.index)}` }, short(context, place)),
    h("span", { "aria-hidden": "true" }, "›"),
  ]);
  return [...found, h("span.crumb.here", { "aria-current": "step" }, short(context, at))];
}

/** Return the short name of a place: "conv2[3,1,1]", counted from 1. */
function short(context, { node, index }) {
  return `${node} ${index.map((i) => i + 1).join(",")}`;
}

/** Return what stands under the number: its patch, its terms. */
function explain(context, node, place, shown, all, more) {
  if (node.name === "input") {
    return [h("p", {}, "A pixel of the picture. This is where every number of the network begins.")];
  }
  const found = context.found ?? context.explain(place);
  if (!found && context.description.page === false) {
    return [h("p", {}, "The sums behind the numbers of this network are not in the page: it is too large for that. The command “neocog explain” gives them.")];
  }
  if (!Number.isFinite(shown)) {
    return [h("p.bad", {}, "This is not a finite number. Look for the first layer from above that has such numbers: there it went wrong.")];
  }
  if (!found) return [];
  if (found.problem) return [h("p.bad", {}, `Its terms cannot be computed: ${found.problem}.`)];
  const parts = [];
  if (node.kind === "Conv2D" || node.kind === "SparseConv2D") parts.push(...convolution(context, node, place, found, all, more));
  else if (/Pool2D$/.test(node.kind) && !/Global/.test(node.kind)) parts.push(pooling(context, node, found));
  if (found.formula) parts.push(h("p.formula", {}, h("code", {}, found.formula)));
  const numbers = Object.entries(found.numbers ?? {}).map(([name, value]) => `${name} = ${number(value)}`);
  if (numbers.length) parts.push(h("p.hint", {}, `Here ${numbers.join(", ")}.`));
  const kind = context.description.output_kind ?? "logits";
  const p = node.name === context.description.output && kind.endsWith("logits") ? probabilities(context.description, context.values().get(node.name)) : [];
  if (p.length > 1 && kind !== "logits") parts.push(h("p", {}, "These are log-odds: above 0 the label is more probable than not. ", h("b", {}, `Probability ${percent(p[p.length === 2 && context.values().get(node.name).data.length === 1 ? 1 : place.index[0]])}`), ", its sigmoid."));
  else if (p.length > 1) parts.push(h("p", {}, "This is a logit: the larger beside the others, the more probable its class. ", h("b", {}, `Probability ${percent(p[place.index[0]])}`), ", its exponential as a share of all."));
  parts.push(...list(context, found, all, more));
  return parts;
}

/** Draw patch x kernel = products for the input maps that count most. */
function convolution(context, node, { index }, found, all, more) {
  const weights = context.model.weights(context.state.epoch)?.get(node.arrays.w);
  if (!weights) return [];
  const groups = new Map();
  for (const part of found.parts) {
    if (part.at?.length !== 3 || part.from !== node.inputs[0]) continue;
    if (!groups.has(part.at[0])) groups.set(part.at[0], []);
    groups.get(part.at[0]).push(part);
  }
  const [rows, columns] = weights.shape.slice(2);
  const size = rows * columns;
  const grids = [...groups].map(([channel, terms]) => {
    const grid = { channel, x: new Array(size), w: [], product: new Array(size), sum: 0 };
    for (const part of terms) {
      const kernel = part.factors.find(({ array }) => array).at;
      const from = offset(weights.shape, [...kernel.slice(0, 2), 0, 0]);
      if (!grid.w.length) grid.w = Array.from(weights.data.subarray(from, from + size));
      const place = kernel[2] * columns + kernel[3];
      grid.x[place] = part.x;
      grid.product[place] = part.product;
      grid.sum += part.product;
    }
    return grid;
  });
  grids.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const shown = grids.slice(0, all ? 64 : CHANNELS);
  const scales = ["x", "w", "product"].map((key) => bound(grids.flatMap((grid) => grid[key].filter((value) => value !== undefined))));
  const first = node.inputs[0];
  const lines = shown.map((grid) =>
    h(
      "div.product",
      {},
      grids.length > 1 ? h("p.label", {}, `${first}, map ${grid.channel + 1}`) : null,
      h(
        "div.equation",
        {},
        labelled("patch", numberGrid(rows, columns, grid.x, { scale: scales[0], label: `Patch of ${first}, map ${grid.channel + 1}` })),
        h("span.sign", {}, "×"),
        labelled("kernel", numberGrid(rows, columns, grid.w, { scale: scales[1], label: `Kernel ${index[0] + 1}, input map ${grid.channel + 1}` })),
        h("span.sign", {}, "="),
        labelled("products", numberGrid(rows, columns, grid.product, { scale: scales[2], label: "Products" })),
      ),
      h("p.sum", {}, `sum of the products: ${fixed(grid.sum, 3)}`),
    ),
  );
  const hidden = grids.length - shown.length;
  const others = found.parts.filter((part) => part.from !== first || part.at?.length !== 3);
  const sums = grids.slice(0, 6).map(({ sum }) => sum);
  const extra = grids.slice(6).reduce((total, { sum }) => total + sum, 0);
  const bias = others.reduce((total, { product }) => total + product, 0) + (found.rest ?? 0);
  const terms = [...sums.map((sum) => fixed(sum, 3)), ...(grids.length > 6 ? [`${fixed(extra, 3)} of ${grids.length - 6} more maps`] : []), ...(others.length || found.rest ? [`${fixed(bias, 3)} (bias)`] : [])];
  lines.push(h("p.total", {}, `${terms.join(" + ").replace(/\+ −/g, "− ")} = `, h("b", {}, number(found.value, 4))));
  if (hidden > 0) lines.push(h("button.quiet", { onclick: more }, hidden === 1 ? "1 more patch" : `${hidden} more patches`));
  return lines;
}

/** Draw the window of a pooling. */
function pooling(context, node, found) {
  const parts = found.parts.filter(({ at }) => at?.length === 3);
  if (!parts.length) return null;
  const low = [1, 2].map((axis) => Math.min(...parts.map(({ at }) => at[axis])));
  const high = [1, 2].map((axis) => Math.max(...parts.map(({ at }) => at[axis])));
  const [rows, columns] = [high[0] - low[0] + 1, high[1] - low[1] + 1];
  if (rows * columns > 400) return null;
  const values = new Array(rows * columns);
  let best = parts[0];
  for (const part of parts) {
    values[(part.at[1] - low[0]) * columns + part.at[2] - low[1]] = part.x;
    if (Math.abs(part.product) > Math.abs(best.product)) best = part;
  }
  const picked = node.kind.startsWith("Max") ? [best.at[1] - low[0], best.at[2] - low[1]] : undefined;
  const words = node.kind.startsWith("Max") ? "The largest of its window; the others have no part in it." : "The mean of its window.";
  return h("div.product", {}, labelled("window", numberGrid(rows, columns, values, { scale: bound(values.filter((v) => v !== undefined)), label: `Window of ${node.inputs[0]}`, picked })), h("p.hint", {}, words));
}

/** Return a grid with its name above. */
function labelled(name, grid) {
  return h("figure", {}, h("figcaption", {}, name), grid);
}

/** List the largest terms; a click follows one down. */
function list(context, found, all, more) {
  const order = found.parts.map((part, k) => [part, k]).sort(([a, i], [b, j]) => Math.abs(b.product) - Math.abs(a.product) || i - j).map(([part]) => part);
  if (!order.length) return [];
  const most = Math.abs(order[0].product) || 1;
  const shown = order.slice(0, all ? 100 : TERMS);
  const rest = order.slice(shown.length).reduce((total, { product }) => total + product, 0);
  const rows = shown.map((part) => {
    const target = part.from && context.node(part.from) && part.at ? { node: part.from, index: part.at } : null;
    const name = target ? short(context, target) : part.label || "bias";
    const times = [part.x, part.w].filter((value) => value !== undefined && value !== null).map((value) => number(value)).join(" × ") + (target && part.label ? `, ${part.label}` : "");
    const bar = h("span.mini");
    bar.style.width = `${(50 * Math.abs(part.product)) / most}%`;
    bar.classList.add(part.product < 0 ? "minus" : "plus");
    const cells = [h("span.from", {}, name), h("span.times", {}, times), h("span.lane", { "aria-hidden": "true" }, bar), h("span.result", {}, fixed(part.product, 3))];
    return target
      ? h("button.term", { onclick: () => context.follow(target), "aria-label": `Follow ${name}: ${times} gives ${number(part.product)}` }, cells)
      : h("div.term", {}, cells);
  });
  const parts = [h("p.label", {}, order.length > 1 ? `Largest of ${order.length} terms` : "Its one term"), h("div.terms", {}, rows)];
  if (order.length > shown.length) parts.push(h("button.quiet", { onclick: more }, `${order.length - shown.length} more, together ${fixed(rest, 3)}`));
  if (Math.abs(found.rest ?? 0) > 1e-12) parts.push(h("p.hint", {}, `and ${number(found.rest)} that no single number brings in`));
  if (order.some(({ from, at }) => from && at)) parts.push(h("button.deep", { onclick: () => dive(context) }, "Follow the largest down to a pixel"));
  return parts;
}

/** Follow the largest term down, layer by layer, until a pixel is reached. */
function dive(context) {
  let place = context.pick();
  const steps = [...(context.state.at ? context.state.trail : [])];
  for (let k = 0; k < DEEP && place && place.node !== "input"; k++) {
    const found = context.explain(place);
    const next = found?.parts.filter(({ from, at }) => from && at && context.node(from)).reduce((best, part) => (!best || Math.abs(part.product) > Math.abs(best.product) ? part : best), undefined);
    if (!next) break;
    steps.push(place);
    place = { node: next.from, index: next.at };
  }
  context.slide(false);
  context.set({ at: place, trail: steps });
}
