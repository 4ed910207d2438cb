// The terms behind any number of a network, each a product of numbers that have terms in turn, down to the pixels:
// those that neocog.inspection.explain lists in Python.

import {
  ACTIVATIONS, channelsSeen, eachIndex, inside, moments, placeOf, repeatedFrom, response, size, SOURCES, weightPlace,
} from "./network.js";

/**
 * Return {value, formula, parts, numbers, rest} of a number: the parts add up to the value, the rest is what is left.
 *
 * A part is {label, from, at, x, w, product, factors}: the number x of node `from` at `at`, and w, by which it is
 * multiplied (null where the part is no product; x, from and at are null for a bias). Its factors are {symbol, value}, with
 * {node, at} if it is a number of the network, {array, at} if a weight. `numbers` holds what else the formula has: a
 * mean, a count. `network` is a Network, or {description, arrays} of one that the page does not compute.
 */
export function terms(network, values, name, index) {
  const y = values.get(name), node = network.description.nodes.find((each) => each.name === name);
  const value = y?.data[placeOf(index, y.shape)];
  if (!y || !node) return { value, formula: "", parts: [], numbers: {}, rest: 0 };
  if (!(node.kind in TERMS)) throw new Error(`the page has no terms of ${name} (${node.kind})`);
  const { parts, numbers = {} } = TERMS[node.kind](new Context(network, values, node, y), index);
  const rest = parts.reduce((sum, { product }) => sum - product, value);
  const magnitude = parts.reduce((sum, { product }) => sum + Math.abs(product), 0);
  return { value, formula: node.formula, parts, numbers, rest: Math.abs(rest) <= 1e-9 * magnitude ? 0 : rest };
}

/** What the terms of a node are made of: its inputs, its arrays, and factors of both. */
class Context {
  constructor(network, values, node, y) {
    Object.assign(this, { network, node, y, settings: node.settings });
    this.inputs = node.inputs.map((name) => values.get(name));
  }

  /** The only input. */
  get input() {
    return this.inputs[0];
  }

  /** Return a number of an input as a factor. */
  x(at, slot = 0) {
    const { shape, data } = this.inputs[slot];
    return { symbol: "x", value: data[placeOf(at, shape)], node: this.node.inputs[slot], at };
  }

  /** Return the numbers of an array of the node. */
  numbers(role) {
    const found = this.network.arrays.get(this.node.arrays[role]);
    return found.data ?? found;
  }

  /** Return a number of an array of the node as a factor. */
  array(role, at) {
    const { arrays, array_shapes: shapes } = this.node;
    return { symbol: role, value: this.numbers(role)[placeOf(at, shapes[role])], array: arrays[role], at };
  }

  /** Return the bias as a list of one part, or of none. */
  bias(at) {
    return "b" in this.node.arrays ? [part([this.array("b", at)], "bias")] : [];
  }
}

/** Make a part: the product of its factors, unless another number is given. */
function part(factors, label = "", product = undefined) {
  const x = factors.find(({ node }) => node);
  const w = factors.filter((factor) => factor !== x).reduce((all, { value }) => all * value, 1);
  return {
    label, from: x?.node ?? null, at: x?.at ?? null, x: x?.value ?? null,
    w: product !== undefined || (x && factors.length === 1) ? null : w,
    product: product ?? w * (x?.value ?? 1), factors,
  };
}

const constant = (symbol, value) => ({ symbol, value });

/** The index along all places of a shape, as a list. */
function indices(shape) {
  const found = [];
  eachIndex(shape, (index) => found.push([...index]));
  return found;
}

/** The part of a copied number. */
const copied = (context, at, slot = 0) => ({ parts: [part([context.x(at, slot)])] });

function convolution(context, [f, i, j]) {
  const { settings, input, y } = context;
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top], [left]], dilation: [d, e], connections } = settings;
  const [C, H, W] = input.shape;
  const channels = channelsSeen(settings, C, y.shape[0]);
  const before = channels.slice(0, f).reduce((sum, each) => sum + each.length, 0);
  const [p0, p1] = inside(i, s, kH, d, top, H), [q0, q1] = inside(j, t, kW, e, left, W);
  const parts = [];
  channels[f].forEach((c, k) => {
    for (let p = p0; p < p1; p++) {
      for (let q = q0; q < q1; q++) {
        const x = context.x([c, i * s + p * d - top, j * t + q * e - left]);
        parts.push(part([x, context.array("w", connections ? [before + k, p, q] : [f, k, p, q])]));
      }
    }
  });
  return { parts: [...parts, ...context.bias([f])] };
}

function transposedConvolution(context, [f, u, v]) {
  const { settings, input, y } = context;
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top], [left]], dilation: [d, e], groups } = settings;
  const [C, H, W] = input.shape, each = y.shape[0] / groups, own = C / groups;
  const [group, k] = [Math.floor(f / each), f % each];
  const parts = [];
  for (let i = 0; i < H; i++) {
    for (let j = 0; j < W; j++) {
      const p = (u + top - i * s) / d, q = (v + left - j * t) / e; // the tap of this pixel's kernel that is here
      if (!(Number.isInteger(p) && Number.isInteger(q) && p >= 0 && p < kH && q >= 0 && q < kW)) continue;
      for (let c = group * own; c < (group + 1) * own; c++) {
        parts.push(part([context.x([c, i, j]), context.array("w", [c, k, p, q])]));
      }
    }
  }
  return { parts: [...parts, ...context.bias([f])] };
}

function upsample(context, [c, i, j]) {
  const { rows, columns } = context.settings;
  const around = ([first, second, share], k) => [[first[k], 1 - share[k]], [second[k], share[k]]].filter(([, a]) => a);
  return {
    parts: around(rows, i).flatMap(([u, a]) => around(columns, j).map(([v, b]) =>
      part([context.x([c, u, v]), constant("share", a * b)]))),
  };
}

function dense(context, [k]) {
  const parts = Array.from(context.input.data, (_, i) => part([context.x([i]), context.array("w", [i, k])]));
  return { parts: [...parts, ...context.bias([k])] };
}

function radialBasis(context, [k]) {
  return {
    parts: Array.from(context.input.data, (value, i) => {
      const past = value - context.numbers("centers")[k * context.input.data.length + i];
      return part([{ ...context.x([i]), symbol: "x-c", value: past }, constant("-(x-c)", -past)]);
    }),
  };
}

/** The places of a window inside the image. */
function windowOf({ settings, input }, [c, i, j]) {
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top], [left]], dilation: [d, e] } = settings;
  const [, H, W] = input.shape;
  const [p0, p1] = inside(i, s, kH, d, top, H), [q0, q1] = inside(j, t, kW, e, left, W);
  const found = [];
  for (let p = p0; p < p1; p++) {
    for (let q = q0; q < q1; q++) found.push([c, i * s + p * d - top, j * t + q * e - left]);
  }
  return found;
}

/** The places of a whole map. */
const mapOf = ({ input }, [c]) => indices(input.shape.slice(1)).map((place) => [c, ...place]);

/** The winner among some places, the first on a tie, the last NaN if there is any; the others count for nothing. */
const maximum = (places) => (context, index) => {
  const factors = places(context, index).map((at) => context.x(at));
  let winner = 0;
  factors.forEach(({ value }, k) => {
    if (value > factors[winner].value || value !== value) winner = k;
  });
  return { parts: factors.map((x, k) => (k === winner ? part([x], "winner", x.value) : part([x], "loses", 0))) };
};

/** Each of some places by their count. */
const mean = (places, symbol, countOf) => (context, index) => {
  const found = places(context, index), count = countOf(context, index);
  return { parts: found.map((at) => part([context.x(at), constant(symbol, 1 / count)])), numbers: { count } };
};

/** y = w (x - mean) scale + b as three parts: of the number, of the mean, the bias; w and b only if there are any. */
function normalized(context, index, mean, scale, whose, place) {
  const by = [...("w" in context.node.arrays ? [context.array("w", place)] : []), constant("1/std", scale)];
  const parts = [part([context.x(index), ...by]), part([constant("-mean", -mean), ...by], whose)];
  return { parts: [...parts, ...context.bias(place)], numbers: { mean, std: 1 / scale } };
}

function batchNorm(context, index) {
  const [c] = index, scale = 1 / Math.sqrt(context.numbers("var")[c] + context.settings.eps);
  return normalized(context, index, context.numbers("mean")[c], scale, "mean so far", [c]);
}

function sampleNorm(context, index) {
  const { settings, input, node } = context;
  const place = placeOf(index, input.shape), [, length, after] = settings.sets;
  const first = Math.floor(place / (length * after)) * length * after + (place % after);
  const { mean, scale } = moments(input.data, first, length, settings.eps, after);
  const at = "w" in node.arrays ? indexAt(weightPlace(node, input)(place), node.array_shapes.w) : null;
  return normalized(context, index, mean, scale, "mean of the group", at);
}

function normalize(context, index) {
  const mean = context.numbers("mean")[index[0]], std = context.numbers("std")[index[0]];
  const over = constant("1/std", 1 / std);
  const parts = [part([context.x(index), over]), part([constant("-mean", -mean), over], "mean of the data")];
  return { parts, numbers: { mean, std } };
}

function localResponseNorm(context, index) {
  const s = response(context.node, context.input, placeOf(index, context.input.shape));
  return { parts: [part([context.x(index), constant("1/s^beta", s ** -context.settings.beta)])], numbers: { s } };
}

const activation = (make) => (context, index) => {
  const x = context.x(index), { kind } = context.node;
  const below = { ReLU: "is cut off", LeakyReLU: "is damped" }[kind];
  return { parts: [part([x], below ? (x.value > 0 ? "passes" : below) : "", make(context.settings)(x.value))] };
};

function prelu(context, index) {
  const x = context.x(index);
  if (x.value > 0) return { parts: [part([x], "passes")] };
  return { parts: [part([x, context.array("w", [context.node.array_shapes.w[0] === 1 ? 0 : index[0]])], "is damped")] };
}

/** The numbers along the axis of a softmax, with the exponential and the share of each. */
function alongAxis(context, index) {
  const { axis } = context.settings;
  const alike = (k) => index.map((i, a) => (a === axis ? k : i));
  const found = Array.from({ length: context.input.shape[axis] }, (_, k) => context.x(alike(k)));
  const max = Math.max(...found.map(({ value }) => value));
  const exps = found.map(({ value }) => Math.exp(value - max));
  const sum = exps.reduce((total, each) => total + each, 0);
  return { found, exps, shares: exps.map((exp) => exp / sum), own: index[axis], numbers: { max, sum } };
}

const share = (number) => `share ${+number.toPrecision(4)}`;

function softmax(context, index) {
  const { found, exps, shares, own, numbers } = alongAxis(context, index);
  const parts = found.map((x, k) => ({ ...part([x], share(shares[k]), k === own ? shares[k] : 0), exp: exps[k] }));
  return { parts, numbers };
}

function logSoftmax(context, index) {
  const { found, exps, shares, own, numbers } = alongAxis(context, index);
  const whole = constant("-log sum", -numbers.max - Math.log(numbers.sum));
  const members = found.map((x, k) => ({ ...part([x], `${share(shares[k])} of the sum`, 0), exp: exps[k] }));
  return { parts: [part([found[own]]), part([whole], "the sum of all"), ...members], numbers };
}

/** Return the index of a place in a shape. */
function indexAt(place, shape) {
  return shape.map((length, axis) => Math.floor(place / size(shape.slice(axis + 1))) % length);
}

/** Layers that copy numbers from elsewhere, or put in a constant. */
function copying(context, index) {
  const source = SOURCES[context.node.kind](context.settings, index, context.inputs);
  if (source) return copied(context, source[1], source[0]);
  return { parts: context.node.kind === "Pad2D" ? [part([constant("value", context.settings.value)], "padding")] : [] };
}

const reshape = (context, index) => copied(context, indexAt(placeOf(index, context.y.shape), context.input.shape));

const same = (context, index) => copied(context, index);

const add = (context, index) => ({
  parts: context.inputs.map(({ shape }, slot) => part([context.x(repeatedFrom(index, shape), slot)])),
});

const multiply = (context, index) => ({
  parts: [part(context.inputs.map(({ shape }, slot) => context.x(repeatedFrom(index, shape), slot)))],
});

/** The inputs, of which the winners share what they are. */
const extremum = (best) => (context, index) => {
  const inputs = context.inputs.map(({ shape }, slot) => context.x(repeatedFrom(index, shape), slot));
  const winner = best(...inputs.map(({ value }) => value)), count = inputs.filter(({ value }) => value === winner).length;
  return {
    parts: inputs.map((x) => (x.value === winner ? part([x], "winner", x.value / count) : part([x], "loses", 0))),
  };
};

const scale = (context, index) => ({
  parts: [part([context.x(index), context.array("w", repeatedFrom(index, context.node.array_shapes.w))])],
});

function rescale(context, index) {
  const { node, settings } = context;
  const [a, b] = ["scale", "offset"].map((role) => role in node.arrays
    ? context.array(role, repeatedFrom(index, node.array_shapes[role])).value : settings[role]);
  const parts = [part([context.x(index), constant("a", a)])];
  return { parts: b ? [...parts, part([constant("b", b)], "offset")] : parts };
}

/** The numbers along the axes, each by their count if it is a mean. */
const reduction = (isMean) => (context, index) => {
  const { input: { shape }, settings: { axes, keepdims } } = context;
  const rest = keepdims ? index.filter((k, axis) => !axes.includes(axis)) : [...index];
  const fixed = shape.map((length, axis) => (axes.includes(axis) ? 0 : rest.shift()));
  const places = indices(axes.map((axis) => shape[axis])).map((along) =>
    fixed.map((k, axis) => (axes.includes(axis) ? along[axes.indexOf(axis)] : k)));
  const count = places.length, share = isMean ? [constant("1/n", 1 / count)] : [];
  return { parts: places.map((at) => part([context.x(at), ...share])), numbers: isMean ? { count } : {} };
};

const bias = (context, index) => ({
  parts: [part([context.x(index)]), ...context.bias(repeatedFrom(index, context.node.array_shapes.b))],
});

const TERMS = {
  Conv2D: convolution, SparseConv2D: convolution, ConvTranspose2D: transposedConvolution, Upsample: upsample, Dense: dense, RadialBasis: radialBasis,
  MaxPool2D: maximum(windowOf), GlobalMaxPool2D: maximum(mapOf),
  AvgPool2D: mean(windowOf, "1/count", ({ settings }, [, i, j]) => settings.rows[i] * settings.columns[j]),
  GlobalAvgPool2D: mean(mapOf, "1/(H W)", ({ input }) => size(input.shape.slice(1))),
  BatchNorm1D: batchNorm, BatchNorm2D: batchNorm, Normalize: normalize, LocalResponseNorm: localResponseNorm,
  GroupNorm: sampleNorm, InstanceNorm: sampleNorm, LayerNorm: sampleNorm,
  ...Object.fromEntries(Object.entries(ACTIVATIONS).map(([kind, make]) => [kind, activation(make)])),
  PReLU: prelu, Softmax: softmax, LogSoftmax: logSoftmax,
  Transpose: copying, Pad2D: copying, PadChannels: copying, Concat: copying, Slice: copying, ChannelShuffle: copying,
  Reshape: reshape, Flatten: reshape, Dropout: same, StochasticDepth: same, Add: add, Bias: bias,
  Multiply: multiply, Maximum: extremum(Math.max), Minimum: extremum(Math.min),
  Scale: scale, Rescale: rescale, Mean: reduction(true), Sum: reduction(false),
};
