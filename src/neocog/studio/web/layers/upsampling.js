// Upsample.

import { LAYERS, constant, part } from "./base.js";

/** Upsample: each output is between two rows and two columns; `share` is that of the second of each. */
function form({ settings: { rows: [up, down, low], columns: [before, after, share] } }, y, [x]) {
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

function terms(context, [c, i, j]) {
  const { rows, columns } = context.settings;
  const around = ([first, second, share], k) => [[first[k], 1 - share[k]], [second[k], share[k]]].filter(([, a]) => a);
  return {
    parts: around(rows, i).flatMap(([u, a]) => around(columns, j).map(([v, b]) =>
      part([context.x([c, u, v]), constant("share", a * b)]))),
  };
}

LAYERS.Upsample = { form, terms };
