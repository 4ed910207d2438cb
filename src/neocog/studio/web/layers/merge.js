// Add, Multiply, Maximum, Minimum, Concat: layers of several inputs.

import { LAYERS, part } from "./base.js";
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
  Maximum: { form: joining(larger), terms: extremum(Math.max) },
  Minimum: { form: joining(smaller), terms: extremum(Math.min) },
  Concat: copying(({ axis }, index, inputs) => {
    let place = index[axis], slot = 0;
    while (place >= inputs[slot].shape[axis]) place -= inputs[slot++].shape[axis];
    return [slot, index.map((k, a) => (a === axis ? place : k))];
  }),
});
