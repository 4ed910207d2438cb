// The numbers of a window, or of a whole map: what pooling does with them.

import { constant, part } from "./base.js";

/** Return the taps [first, end) of a window at place i of an axis that lie inside the image. */
export function inside(i, stride, kernel, dilation, before, length) {
  const start = i * stride - before;
  return [Math.max(0, Math.ceil(-start / dilation)), Math.min(kernel, Math.ceil((length - start) / dilation))];
}

export const larger = (a, b) => (b > a || b !== b ? b : a); // NaN wins
export const sum = (a, b) => a + b;

/** The winner among some places, the first on a tie, the last NaN if there is any; the others count for nothing. */
export const maximum = (places) => (context, index) => {
  const factors = places(context, index).map((at) => context.x(at));
  let winner = 0;
  factors.forEach(({ value }, k) => {
    if (value > factors[winner].value || value !== value) winner = k;
  });
  return { parts: factors.map((x, k) => (k === winner ? part([x], "winner", x.value) : part([x], "loses", 0))) };
};

/** Each of some places by their count. */
export const mean = (places, symbol, countOf) => (context, index) => {
  const found = places(context, index), count = countOf(context, index);
  return { parts: found.map((at) => part([context.x(at), constant(symbol, 1 / count)])), numbers: { count } };
};
