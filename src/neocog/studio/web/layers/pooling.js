// MaxPool2D, AvgPool2D.

import { LAYERS } from "./base.js";
import { inside, larger, maximum, mean, sum } from "./window.js";

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

Object.assign(LAYERS, {
  MaxPool2D: { form: pooling(-Infinity, larger, (max) => max), terms: maximum(windowOf) },
  AvgPool2D: {
    form: pooling(0, sum, (total, rows, columns, i, j) => total / (rows[i] * columns[j])),
    terms: mean(windowOf, "1/count", ({ settings }, [, i, j]) => settings.rows[i] * settings.columns[j]),
  },
});
