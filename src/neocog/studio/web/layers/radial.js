// RadialBasis.

import { LAYERS, constant, part } from "./base.js";

/** RadialBasis: minus the squared distance from each center. */
function form(node, y, [x], { centers }) {
  const I = x.data.length;
  return () => {
    for (let k = 0; k < y.data.length; k++) {
      let sum = 0;
      for (let i = 0; i < I; i++) sum += (x.data[i] - centers[k * I + i]) ** 2;
      y.data[k] = -sum;
    }
  };
}

function terms(context, [k]) {
  return {
    parts: Array.from(context.input.data, (value, i) => {
      const past = value - context.numbers("centers")[k * context.input.data.length + i];
      return part([{ ...context.x([i]), symbol: "x-c", value: past }, constant("-(x-c)", -past)]);
    }),
  };
}

LAYERS.RadialBasis = { form, terms };
