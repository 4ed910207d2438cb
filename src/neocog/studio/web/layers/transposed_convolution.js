// ConvTranspose2D.

import { LAYERS, part } from "./base.js";

/** ConvTranspose2D: at every pixel of an input map its kernel, times the pixel, is added to each output map. */
function form({ settings }, y, [x], { w, b }) {
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

function terms(context, [f, u, v]) {
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

LAYERS.ConvTranspose2D = { form, terms };
