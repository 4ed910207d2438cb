// Add, Multiply, MatMul, Maximum, Minimum, Concat: layers of several inputs.

import { LAYERS, eachIndex, part, placeOf } from "./base.js";
import { combined, repeatedFrom, times } from "./combined.js";
import { copying } from "./copying.js";
import { larger, sum } from "./window.js";

const smaller = (a, b) => (b < a || b !== b ? b : a); // NaN wins
const joining = (combine) => (node, y, inputs) => combined(y, inputs, combine);

const add = (context, index) => ({
  parts: context.inputs.map(({ shape }, slot) => part([context.x(repeatedFrom(index, shape), slot)])),
});

const multiply = (context, index) => ({
  parts: [part(context.inputs.map(({ shape }, slot) => context.x(repeatedFrom(index, shape), slot)))],
});

/** MatMul: the product of the matrices of the last two axes, axes before them repeated. */
function matmul(node, y, [a, b]) {
  const K = a.shape.at(-1), step = b.shape.at(-1), rows = new Int32Array(y.data.length), columns = rows.slice();
  eachIndex(y.shape, (index, place) => {
    rows[place] = placeOf(entry(index, a, index.at(-2), 0), a.shape);
    columns[place] = placeOf(entry(index, b, 0, index.at(-1)), b.shape);
  });
  return () => {
    for (let place = 0; place < rows.length; place++) {
      let total = 0;
      for (let k = 0; k < K; k++) total += a.data[rows[place] + k] * b.data[columns[place] + k * step];
      y.data[place] = total;
    }
  };
}

/** Return the index of an entry of the matrix that goes into the output at an index. */
const entry = (index, { shape }, i, j) => [...repeatedFrom(index.slice(0, -2), shape.slice(0, -2)), i, j];

const products = (context, index) => {
  const [a, b] = context.inputs, [i, j] = index.slice(-2);
  return {
    parts: Array.from({ length: a.shape.at(-1) }, (_, k) =>
      part([context.x(entry(index, a, i, k), 0), context.x(entry(index, b, k, j), 1)])),
  };
};

/** The inputs, of which the winners share what they are. */
const extremum = (best) => (context, index) => {
  const inputs = context.inputs.map(({ shape }, slot) => context.x(repeatedFrom(index, shape), slot));
  const winner = best(...inputs.map(({ value }) => value)), count = inputs.filter(({ value }) => value === winner).length;
  return {
    parts: inputs.map((x) => (x.value === winner ? part([x], "winner", x.value / count) : part([x], "loses", 0))),
  };
};

Object.assign(LAYERS, {
  Add: { form: joining(sum), terms: add },
  Multiply: { form: joining(times), terms: multiply },
  MatMul: { form: matmul, terms: products },
  Maximum: { form: joining(larger), terms: extremum(Math.max) },
  Minimum: { form: joining(smaller), terms: extremum(Math.min) },
  Concat: copying(({ axis }, index, inputs) => {
    let place = index[axis], slot = 0;
    while (place >= inputs[slot].shape[axis]) place -= inputs[slot++].shape[axis];
    return [slot, index.map((k, a) => (a === axis ? place : k))];
  }),
});
