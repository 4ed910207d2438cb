// y += w x over a run of numbers, the innermost loops of a product.

/** y += w x over a run of numbers. */
export function addOne(y, to, length, x, step, a, w) {
  for (let i = to; i < to + length; i++, a += step) y[i] += w * x[a];
}

/** The same for four shifts of x. */
export function addFour(y, to, length, x, step, a0, a1, a2, a3, w0, w1, w2, w3) {
  for (let i = to, at = 0; i < to + length; i++, at += step) {
    y[i] += w0 * x[a0 + at] + w1 * x[a1 + at] + w2 * x[a2 + at] + w3 * x[a3 + at];
  }
}
