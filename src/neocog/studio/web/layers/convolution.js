// Conv2D; sparse.js has that of chosen connections.

import { LAYERS, part } from "./base.js";
import { addFour, addOne } from "./sums.js";
import { inside } from "./window.js";

/** Conv2D and SparseConv2D: each output map is the sum over its taps, a weight times a shifted map of the padded x. */
function form({ settings }, y, [x], { w, b }) {
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
function channelsSeen({ groups, connections }, C, F) {
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

function terms(context, [f, i, j]) {
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

export const convolution = { form, terms };

LAYERS.Conv2D = convolution;
