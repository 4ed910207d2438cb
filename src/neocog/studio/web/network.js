// The forward pass of a network for one image, in doubles, from the description that Python writes (architecture.py).
//
// A form states one kind of layer: form(node, y, inputs, arrays) reads the settings once, and returns the function that
// fills y.data. All arrays are allocated at that time.

/**
 * A network that computes: new Network(description), load(arrays), then forward(image) as often as wanted.
 * It has one set of values, which each forward overwrites: for a second image at the same time make a second network.
 */
export class Network {
  constructor(description) {
    this.description = description;
    this.arrays = new Map(); // name -> Float64Array
    this.values = new Map(); // node -> {shape, data}
    this.steps = null; // functions, each fills the values of one node
  }

  /** Read all settings, and allocate all that a forward pass needs. */
  build() {
    const { input, nodes } = this.description;
    const unknown = nodes.find((node) => !node.page || !(node.kind in FORMS));
    if (unknown) throw new Error(`the page has no form of ${unknown.name} (${unknown.kind})`);
    this.values.set("input", array(input));
    this.steps = nodes.map((node) => {
      const inputs = node.inputs.map((name) => this.values.get(name));
      const y = SAME.has(node.kind) ? { shape: node.shape, data: inputs[0].data } : array(node.shape);
      this.values.set(node.name, y);
      return FORMS[node.kind](node, y, inputs, this.arraysOf(node));
    });
  }

  /** Return a node's arrays by role, those that forward computes with. */
  arraysOf(node) {
    const own = {};
    for (const [role, name] of Object.entries(node.arrays)) {
      if (!this.arrays.has(name)) this.arrays.set(name, new Float64Array(size(node.array_shapes[role])));
      own[role] = this.arrays.get(name);
    }
    return own;
  }

  /** Copy weights and buffers from a Map(name -> {data} or numbers); other names are passed over. */
  load(arrays) {
    if (!this.steps) this.build();
    for (const [name, own] of this.arrays) {
      const given = arrays.get(name)?.data ?? arrays.get(name);
      if (given?.length !== own.length) {
        throw new Error(`array ${name} must hold ${own.length} numbers, got ${given ? given.length : "none"}`);
      }
      own.set(given);
    }
  }

  /** Compute all values of an image; returns Map(node -> {shape, data}). */
  forward(image) {
    if (!this.steps) throw new Error("load the arrays before the first image");
    const { data } = this.values.get("input");
    if (image.length !== data.length) {
      throw new Error(`the image must hold ${data.length} numbers, got ${image.length}`);
    }
    data.set(image);
    for (const step of this.steps) step();
    return this.values;
  }
}

/** Return the product of sizes. */
export const size = (shape) => shape.reduce((product, k) => product * k, 1);

/** Allocate an array. */
const array = (shape) => ({ shape, data: new Float64Array(size(shape)) });

// ---------------------------------------------------------------------------------------------- sums of products

/** Conv2D and SparseConv2D: each output map is the sum over its taps, a weight times a shifted map of the padded x. */
function convolution({ settings }, y, [x], { w, b }) {
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top, bottom], [left, right]], dilation: [d, e] } = settings;
  const [C, H, W] = x.shape, [F, Ho, Wo] = y.shape;
  const Hp = H + top + bottom, Wp = W + left + right;
  const isPadded = Hp > H || Wp > W;
  const source = isPadded ? new Float64Array(C * Hp * Wp) : x.data;
  const seen = channelsSeen(settings, C, F);
  const taps = new Map(seen.map((channels) => [channels, Int32Array.from(channels.flatMap((c) =>
    Array.from({ length: kH * kW }, (_, k) => (c * Hp + Math.floor(k / kW) * d) * Wp + (k % kW) * e)))]));
  // With stride 1, a shift of the whole map is one run: what is between two rows is computed, and left out after.
  const isWhole = s === 1 && t === 1;
  const pitch = isWhole ? Wp : Wo, runs = isWhole ? 1 : Ho, length = isWhole ? (Ho - 1) * Wp + Wo : Wo;
  const first = new Float64Array(Ho * pitch), second = new Float64Array(Ho * pitch);
  return () => {
    if (isPadded) copyInto(source, x.data, C, H, W, Hp, Wp, top, left);
    let k = 0; // the first weight of map f
    for (let f = 0; f < F;) {
      const own = taps.get(seen[f]), two = seen[f] === seen[f + 1];
      first.fill(b ? b[f] : 0);
      if (two) second.fill(b ? b[f + 1] : 0);
      for (let i = 0; i < runs; i++) {
        if (two) addTaps2(first, second, i * pitch, length, source, i * s * Wp, t, own, w, k, k + own.length);
        else addTaps(first, i * pitch, length, source, i * s * Wp, t, own, w, k);
      }
      copyOut(y.data, f++ * Ho * Wo, first, pitch, Ho, Wo);
      if (two) copyOut(y.data, f++ * Ho * Wo, second, pitch, Ho, Wo);
      k += two ? 2 * own.length : own.length;
    }
  };
}

/** List the input maps that each output map of a convolution sees: the same list for those that see the same. */
export function channelsSeen({ groups, connections }, C, F) {
  if (connections) return connections;
  const each = C / groups;
  const lists = Array.from({ length: groups }, (_, g) => Array.from({ length: each }, (__, c) => g * each + c));
  return Array.from({ length: F }, (_, f) => lists[Math.floor(f / (F / groups))]);
}

/** Copy maps into the middle of padded ones. */
function copyInto(padded, x, C, H, W, Hp, Wp, top, left) {
  let from = 0;
  for (let c = 0; c < C; c++) {
    for (let i = 0; i < H; i++) {
      for (let j = 0, to = (c * Hp + i + top) * Wp + left; j < W; j++) padded[to++] = x[from++];
    }
  }
}

/** Copy the rows of a map, which lie `pitch` apart. */
function copyOut(y, to, sums, pitch, H, W) {
  for (let i = 0; i < H; i++) {
    for (let j = 0, from = i * pitch; j < W; j++) y[to++] = sums[from++];
  }
}

/** Add all taps of one output map to a run of it: those of four at once, so that y is read and written once. */
function addTaps(y, to, length, x, from, step, taps, w, k) {
  let n = 0;
  for (; n + 4 <= taps.length; n += 4) {
    addFour(y, to, length, x, step, from + taps[n], from + taps[n + 1], from + taps[n + 2], from + taps[n + 3],
      w[k + n], w[k + n + 1], w[k + n + 2], w[k + n + 3]);
  }
  for (; n < taps.length; n++) addOne(y, to, length, x, step, from + taps[n], w[k + n]);
}

/** The same for two output maps, whose weights begin at k and at m, so that x is read once for both. */
function addTaps2(y, z, to, length, x, from, step, taps, w, k, m) {
  let n = 0;
  for (; n + 4 <= taps.length; n += 4) {
    const a0 = from + taps[n], a1 = from + taps[n + 1], a2 = from + taps[n + 2], a3 = from + taps[n + 3];
    const w0 = w[k + n], w1 = w[k + n + 1], w2 = w[k + n + 2], w3 = w[k + n + 3];
    const v0 = w[m + n], v1 = w[m + n + 1], v2 = w[m + n + 2], v3 = w[m + n + 3];
    for (let i = to, at = 0; i < to + length; i++, at += step) {
      const x0 = x[a0 + at], x1 = x[a1 + at], x2 = x[a2 + at], x3 = x[a3 + at];
      y[i] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3;
      z[i] += v0 * x0 + v1 * x1 + v2 * x2 + v3 * x3;
    }
  }
  for (; n < taps.length; n++) {
    addOne(y, to, length, x, step, from + taps[n], w[k + n]);
    addOne(z, to, length, x, step, from + taps[n], w[m + n]);
  }
}

/** y += w x over a run of numbers. */
function addOne(y, to, length, x, step, a, w) {
  for (let i = to; i < to + length; i++, a += step) y[i] += w * x[a];
}

/** The same for four shifts of x. */
function addFour(y, to, length, x, step, a0, a1, a2, a3, w0, w1, w2, w3) {
  for (let i = to, at = 0; i < to + length; i++, at += step) {
    y[i] += w0 * x[a0 + at] + w1 * x[a1 + at] + w2 * x[a2 + at] + w3 * x[a3 + at];
  }
}

/** ConvTranspose2D: at every pixel of an input map its kernel, times the pixel, is added to each output map. */
function transposedConvolution({ settings }, y, [x], { w, b }) {
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top], [left]], dilation: [d, e], groups } = settings;
  const [C, H, W] = x.shape, [F, Ho, Wo] = y.shape, each = F / groups;
  return () => {
    for (let f = 0; f < F; f++) y.data.fill(b ? b[f] : 0, f * Ho * Wo, (f + 1) * Ho * Wo);
    let k = 0; // of the weight
    for (let c = 0; c < C; c++) {
      const first = Math.floor(c / (C / groups)) * each;
      for (let f = first; f < first + each; f++) {
        for (let p = 0; p < kH; p++) {
          const [i0, i1] = reaching(p * d - top, s, H, Ho);
          for (let q = 0; q < kW; q++, k++) {
            const right = q * e - left, [j0, j1] = reaching(right, t, W, Wo);
            for (let i = i0; i < i1; i++) {
              const from = (c * H + i) * W, to = (f * Ho + i * s + p * d - top) * Wo + right;
              for (let j = j0; j < j1; j++) y.data[to + j * t] += w[k] * x.data[from + j];
            }
          }
        }
      }
    }
  };
}

/** Return the places i, [first, end) of `length`, for which i stride + shift lies in [0, most). */
const reaching = (shift, stride, length, most) =>
  [Math.max(0, Math.ceil(-shift / stride)), Math.min(length, Math.ceil((most - shift) / stride))];

/** Dense: y = x w + b, input by input, as w lies in rows of one input's weights. */
function dense(node, y, [x], { w, b }) {
  const K = y.data.length, I = x.data.length, z = x.data;
  return () => {
    if (b) y.data.set(b);
    else y.data.fill(0);
    let i = 0;
    for (; i + 4 <= I; i += 4) {
      const at = i * K; // of input i's weights
      addFour(y.data, 0, K, w, 1, at, at + K, at + 2 * K, at + 3 * K, z[i], z[i + 1], z[i + 2], z[i + 3]);
    }
    for (; i < I; i++) addOne(y.data, 0, K, w, 1, i * K, z[i]);
  };
}

/** RadialBasis: minus the squared distance from each center. */
function radialBasis(node, y, [x], { centers }) {
  const I = x.data.length;
  return () => {
    for (let k = 0; k < y.data.length; k++) {
      let sum = 0;
      for (let i = 0; i < I; i++) sum += (x.data[i] - centers[k * I + i]) ** 2;
      y.data[k] = -sum;
    }
  };
}

// ------------------------------------------------------------------------------------------------------- pooling

/** Return the taps [first, end) of a window at place i of an axis that lie inside the image. */
export function inside(i, stride, kernel, dilation, before, length) {
  const start = i * stride - before;
  return [Math.max(0, Math.ceil(-start / dilation)), Math.min(kernel, Math.ceil((length - start) / dilation))];
}

/** Max and average pooling: begin and combine say what is done with the numbers of a window, end with the result. */
const pooling = (begin, combine, end) => ({ settings }, y, [x]) => {
  const { kernel_size: [kH, kW], stride: [s, t], padding: [[top], [left]], dilation: [d, e], rows, columns } = settings;
  const [C, H, W] = x.shape, [, Ho, Wo] = y.shape;
  const down = Array.from({ length: Ho }, (_, i) => inside(i, s, kH, d, top, H));
  const across = Array.from({ length: Wo }, (_, j) => inside(j, t, kW, e, left, W));
  return () => {
    let to = 0;
    for (let c = 0; c < C; c++) {
      for (let i = 0; i < Ho; i++) {
        const p0 = down[i][0], p1 = down[i][1];
        for (let j = 0; j < Wo; j++) {
          const q0 = across[j][0], q1 = across[j][1];
          let result = begin;
          for (let p = p0; p < p1; p++) {
            const row = (c * H + i * s + p * d - top) * W + j * t - left;
            for (let q = q0; q < q1; q++) result = combine(result, x.data[row + q * e]);
          }
          y.data[to++] = end(result, rows, columns, i, j);
        }
      }
    }
  };
};

const larger = (a, b) => (b > a || b !== b ? b : a); // NaN wins
const sum = (a, b) => a + b;

/** Upsample: each output is between two rows and two columns; `share` is that of the second of each. */
function upsample({ settings: { rows: [up, down, low], columns: [before, after, share] } }, y, [x]) {
  const [C, H, W] = x.shape, [, Ho, Wo] = y.shape;
  return () => {
    let to = 0;
    for (let c = 0; c < C; c++) {
      for (let i = 0; i < Ho; i++) {
        const first = (c * H + up[i]) * W, second = (c * H + down[i]) * W;
        for (let j = 0; j < Wo; j++) {
          const b = share[j], at = (row) => b ? (1 - b) * x.data[row + before[j]] + b * x.data[row + after[j]]
            : x.data[row + before[j]];
          y.data[to++] = low[i] ? (1 - low[i]) * at(first) + low[i] * at(second) : at(first);
        }
      }
    }
  };
}

/** A number for each whole map. */
const globalPooling = (begin, combine, end) => (node, y, [x]) => () => {
  const each = x.data.length / y.data.length;
  for (let c = 0; c < y.data.length; c++) {
    let result = begin;
    for (let k = c * each; k < (c + 1) * each; k++) result = combine(result, x.data[k]);
    y.data[c] = end(result, each);
  }
};

// -------------------------------------------------------------------------------------------------- normalization

/** y = (x - mean[c]) * scale[c] + shift[c] for each channel. */
function perChannel(y, [x], mean, scale, shift) {
  const C = mean.length, each = x.data.length / C;
  return () => {
    for (let c = 0; c < C; c++) {
      const m = mean[c], a = scale(c), b = shift ? shift[c] : 0;
      for (let k = c * each; k < (c + 1) * each; k++) y.data[k] = (x.data[k] - m) * a + b;
    }
  };
}

const batchNorm = (node, y, inputs, { w, b, mean, var: v }) =>
  perChannel(y, inputs, mean, (c) => w[c] / Math.sqrt(v[c] + node.settings.eps), b);

const normalize = (node, y, inputs, { mean, std }) => perChannel(y, inputs, mean, (c) => 1 / std[c]);

/** Return mean and 1 / sqrt(variance + eps) of so many numbers, `step` apart. */
export function moments(x, first, length, eps, step) {
  let mean = 0, variance = 0;
  const end = first + length * step;
  for (let k = first; k < end; k += step) mean += x[k];
  mean /= length;
  for (let k = first; k < end; k += step) variance += (x[k] - mean) ** 2;
  return { mean, scale: 1 / Math.sqrt(variance / length + eps) };
}

/** GroupNorm, InstanceNorm, LayerNorm: sets of numbers; weights, if any, go along channels or normalised axes. */
function sampleNorm(node, y, [x], { w, b }) {
  const { sets: [before, length, after], eps } = node.settings;
  const weightAt = w && weightPlace(node, x);
  return () => {
    for (let g = 0; g < before * after; g++) {
      const first = Math.floor(g / after) * length * after + (g % after);
      const { mean, scale } = moments(x.data, first, length, eps, after);
      for (let n = 0, k = first; n < length; n++, k += after) {
        const normal = (x.data[k] - mean) * scale, c = w && weightAt(k);
        y.data[k] = w ? normal * w[c] + b[c] : normal;
      }
    }
  };
}

/** Return the function from a place in x to the place of its weight. */
export function weightPlace(node, x) {
  const [, length, after] = node.settings.sets;
  const each = x.data.length / size(node.array_shapes.w);
  return node.kind === "LayerNorm" ? (k) => Math.floor(k / after) % length : (k) => Math.floor(k / each);
}

/** LocalResponseNorm: y = x / s^beta. */
function localResponseNorm(node, y, [x]) {
  const { beta } = node.settings;
  return () => {
    for (let k = 0; k < x.data.length; k++) y.data[k] = x.data[k] * response(node, x, k) ** -beta;
  };
}

/** Return s of local response normalization: k + alpha / size * sum of squares over the channels around. */
export function response({ settings }, x, at) {
  const [C, H, W] = x.shape, c = Math.floor(at / (H * W)), place = at % (H * W);
  let sum = 0;
  const last = Math.min(c + Math.floor((settings.size - 1) / 2), C - 1);
  for (let j = Math.max(c - Math.floor(settings.size / 2), 0); j <= last; j++) sum += x.data[j * H * W + place] ** 2;
  return settings.k + (settings.alpha / settings.size) * sum;
}

// ----------------------------------------------------------------------------------------------------- activations

/** Make the form of a function of one number from its settings. */
const elementwise = (make) => ({ settings }, y, [x]) => {
  const f = make(settings);
  return () => {
    for (let k = 0; k < y.data.length; k++) y.data[k] = f(x.data[k]);
  };
};

/** Keep a number between bounds; a NaN stays one. */
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);

/** The activations: settings -> function of one number. */
export const ACTIVATIONS = {
  ReLU: () => (x) => (x < 0 ? 0 : x),
  LeakyReLU: ({ slope }) => (x) => (x > 0 ? x : slope * x),
  Sigmoid: () => sigmoid,
  Tanh: () => Math.tanh,
  ScaledTanh: ({ amplitude, slope }) => (x) => amplitude * Math.tanh(slope * x),
  GELU: ({ approximate }) => approximate === "tanh"
    ? (x) => x * 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))
    : (x) => x * 0.5 * erfc(-x * Math.SQRT1_2),
  Hardswish: () => (x) => x * (x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5),
  Hardsigmoid: ({ slope, offset }) => (x) => clip(slope * x + offset, 0, 1),
  Clip: ({ low, high }) => (x) => clip(x, low ?? -Infinity, high ?? Infinity),
  SiLU: () => (x) => x * sigmoid(x),
  ELU: ({ alpha }) => (x) => (x > 0 ? x : alpha * Math.expm1(x)),
  SELU: () => (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  Softplus: ({ beta }) => (x) => softplus(beta * x) / beta,
  Mish: () => (x) => x * Math.tanh(softplus(x)),
  Exp: () => Math.exp,
  Sqrt: () => Math.sqrt,
  Power: ({ exponent }) => (x) => x ** exponent,
  Abs: () => Math.abs,
};

/** The logistic function, without overflow. */
function sigmoid(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** log(1 + exp(x)), without overflow. */
function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** The complementary error function: 1 - a series of positive terms where x is small, else a continued fraction. */
function erfc(x) {
  if (x !== x) return NaN;
  if (x < 0) return 2 - erfc(-x);
  if (x > 27) return 0;
  if (x < 2) {
    let term = x, sum = x;
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}

/** Leaky ReLU with a learned slope, one for all or one a channel. */
function prelu(node, y, [x], { w }) {
  const each = x.data.length / w.length;
  return () => {
    for (let k = 0; k < x.data.length; k++) y.data[k] = x.data[k] > 0 ? x.data[k] : w[Math.floor(k / each)] * x.data[k];
  };
}

/** Softmax and its logarithm, along an axis: end makes the result of x - max, exp of it, and the sum of these. */
const softmax = (end) => ({ settings }, y, [x]) => {
  const K = x.shape[settings.axis], inner = size(x.shape.slice(settings.axis + 1));
  return () => {
    for (let first = 0; first < x.data.length; first += K * inner) {
      for (let from = first; from < first + inner; from++) {
        let max = -Infinity, total = 0;
        for (let k = 0; k < K; k++) max = larger(max, x.data[from + k * inner]);
        for (let k = 0; k < K; k++) total += Math.exp(x.data[from + k * inner] - max);
        for (let k = 0; k < K; k++) y.data[from + k * inner] = end(x.data[from + k * inner] - max, total);
      }
    }
  };
};

// -------------------------------------------------------------------------------------- numbers from other places

/** Call visit(index, place) for all indices of a shape, in order. */
export function eachIndex(shape, visit) {
  const index = shape.map(() => 0), count = size(shape);
  for (let place = 0; place < count; place++) {
    visit(index, place);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

/** Return the place of an index in a shape. */
export const placeOf = (index, shape) => index.reduce((place, k, axis) => place * shape[axis] + k, 0);

/** Return the index, in an array that is repeated to fit, of the number at an index. */
export function repeatedFrom(index, shape) {
  const own = shape.slice(Math.max(0, shape.length - index.length)); // without the batch, where it states one
  const rest = index.slice(index.length - own.length);
  return [...shape.slice(own.length).map(() => 0), ...own.map((length, k) => (length === 1 ? 0 : rest[k]))];
}

/** Return the index that a number of y is copied from, in which input; null where it is a constant. */
export const SOURCES = {
  Transpose: ({ axes }, index) => [0, axes.reduce((from, axis, k) => ((from[axis] = index[k]), from), [])],
  Pad2D: ({ rows, columns }, [c, i, j]) => (rows[i] < 0 || columns[j] < 0 ? null : [0, [c, rows[i], columns[j]]]),
  PadChannels: (settings, index, [x]) => (index[0] < x.shape[0] ? [0, index] : null),
  Slice: ({ axis, start, step }, index) => [0, index.map((k, a) => (a === axis ? start + k * step : k))],
  ChannelShuffle: ({ groups }, [c, ...place], [x]) =>
    [0, [(c % groups) * (x.shape[0] / groups) + Math.floor(c / groups), ...place]],
  Concat: ({ axis }, index, inputs) => {
    let place = index[axis], slot = 0;
    while (place >= inputs[slot].shape[axis]) place -= inputs[slot++].shape[axis];
    return [slot, index.map((k, a) => (a === axis ? place : k))];
  },
};

/** Copy each number from where SOURCES says. */
function copying(node, y, inputs) {
  const slots = new Int32Array(y.data.length).fill(-1), places = new Int32Array(y.data.length);
  eachIndex(y.shape, (index, place) => {
    const source = SOURCES[node.kind](node.settings, index, inputs);
    if (!source) return;
    slots[place] = source[0];
    places[place] = placeOf(source[1], inputs[source[0]].shape);
  });
  const constant = node.settings.value ?? 0;
  return () => {
    for (let k = 0; k < slots.length; k++) y.data[k] = slots[k] < 0 ? constant : inputs[slots[k]].data[places[k]];
  };
}

/** Combine arrays number by number, those of size 1 along an axis repeated. */
function combined(y, parts, combine) {
  const places = parts.map(({ shape, data }) => { // null where nothing is repeated
    if (data.length === y.data.length) return null;
    const own = new Int32Array(y.data.length);
    eachIndex(y.shape, (index, place) => (own[place] = placeOf(repeatedFrom(index, shape), shape)));
    return own;
  });
  return () => {
    for (const [n, { data }] of parts.entries()) {
      const own = places[n];
      for (let k = 0; k < y.data.length; k++) {
        const value = data[own ? own[k] : k];
        y.data[k] = n ? combine(y.data[k], value) : value;
      }
    }
  };
}

const times = (a, b) => a * b;
const smaller = (a, b) => (b < a || b !== b ? b : a); // NaN wins
const joining = (combine) => (node, y, inputs) => combined(y, inputs, combine);
const bias = (node, y, [x], { b }) => combined(y, [x, { shape: node.array_shapes.b, data: b }], sum);
const scale = (node, y, [x], { w }) => combined(y, [x, { shape: node.array_shapes.w, data: w }], times);

/** Return a fixed number, or the array of a role, as an array. */
const fixedNumbers = (node, arrays, role) => role in node.arrays
  ? { shape: node.array_shapes[role], data: arrays[role] } : { shape: [], data: [node.settings[role]] };

/** Rescale: y = a x + b. */
function rescale(node, y, [x], arrays) {
  const product = combined(y, [x, fixedNumbers(node, arrays, "scale")], times);
  const total = combined(y, [y, fixedNumbers(node, arrays, "offset")], sum);
  return () => (product(), total());
}

/** Return the index of the sum, along axes that stay with size 1 or not, to which a number at an index belongs. */
const reducedIndex = ({ axes, keepdims }, index) =>
  keepdims ? index.map((k, axis) => (axes.includes(axis) ? 0 : k)) : index.filter((k, axis) => !axes.includes(axis));

/** Mean and Sum: each number is added to the one that it belongs to, and the sums are divided. */
const reduction = (divisorOf) => ({ settings }, y, [x]) => {
  const places = new Int32Array(x.data.length), divisor = divisorOf(x.data.length / y.data.length);
  eachIndex(x.shape, (index, place) => (places[place] = placeOf(reducedIndex(settings, index), y.shape)));
  return () => {
    y.data.fill(0);
    for (let k = 0; k < places.length; k++) y.data[places[k]] += x.data[k] / divisor;
  };
};

const nothing = () => () => {};

/** Layers that only give the numbers another shape, or in inference do nothing. */
const SAME = new Set(["Dropout", "StochasticDepth", "Flatten", "Reshape"]);

const FORMS = {
  Conv2D: convolution, SparseConv2D: convolution, ConvTranspose2D: transposedConvolution, Upsample: upsample, Dense: dense, RadialBasis: radialBasis,
  MaxPool2D: pooling(-Infinity, larger, (max) => max),
  AvgPool2D: pooling(0, sum, (total, rows, columns, i, j) => total / (rows[i] * columns[j])),
  GlobalMaxPool2D: globalPooling(-Infinity, larger, (max) => max),
  GlobalAvgPool2D: globalPooling(0, sum, (total, count) => total / count),
  BatchNorm1D: batchNorm, BatchNorm2D: batchNorm, Normalize: normalize,
  GroupNorm: sampleNorm, InstanceNorm: sampleNorm, LayerNorm: sampleNorm, LocalResponseNorm: localResponseNorm,
  ...Object.fromEntries(Object.entries(ACTIVATIONS).map(([kind, make]) => [kind, elementwise(make)])),
  PReLU: prelu,
  Softmax: softmax((z, total) => Math.exp(z) / total), LogSoftmax: softmax((z, total) => z - Math.log(total)),
  Transpose: copying, Pad2D: copying, PadChannels: copying, Concat: copying, Slice: copying, ChannelShuffle: copying,
  Add: joining(sum), Multiply: joining(times), Maximum: joining(larger), Minimum: joining(smaller),
  Bias: bias, Scale: scale, Rescale: rescale, Mean: reduction((count) => count), Sum: reduction(() => 1),
  Dropout: nothing, StochasticDepth: nothing, Flatten: nothing, Reshape: nothing,
};
