// Dense.

import { LAYERS, part } from "./base.js";
import { addFour, addOne } from "./sums.js";

/** Dense: y = x w + b, input by input, as w lies in rows of one input's weights. */
function form(node, y, [x], { w, b }) {
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

function terms(context, [k]) {
  const parts = Array.from(context.input.data, (_, i) => part([context.x([i]), context.array("w", [i, k])]));
  return { parts: [...parts, ...context.bias([k])] };
}

LAYERS.Dense = { form, terms };
