// Scale, Rescale.

import { LAYERS, constant, part } from "./base.js";
import { combined, repeatedFrom, times } from "./combined.js";
import { sum } from "./window.js";

const scale = (node, y, [x], { w }) => combined(y, [x, { shape: node.array_shapes.w, data: w }], times);

const scaleTerms = (context, index) => ({
  parts: [part([context.x(index), context.array("w", repeatedFrom(index, context.node.array_shapes.w))])],
});

/** Return a fixed number, or the array of a role, as an array. */
const fixedNumbers = (node, arrays, role) => role in node.arrays
  ? { shape: node.array_shapes[role], data: arrays[role] } : { shape: [], data: [node.settings[role]] };

/** Rescale: y = a x + b. */
function rescale(node, y, [x], arrays) {
  const product = combined(y, [x, fixedNumbers(node, arrays, "scale")], times);
  const total = combined(y, [y, fixedNumbers(node, arrays, "offset")], sum);
  return () => (product(), total());
}

function rescaleTerms(context, index) {
  const { node, settings } = context;
  const [a, b] = ["scale", "offset"].map((role) => role in node.arrays
    ? context.array(role, repeatedFrom(index, node.array_shapes[role])).value : settings[role]);
  const parts = [part([context.x(index), constant("a", a)])];
  return { parts: b ? [...parts, part([constant("b", b)], "offset")] : parts };
}

LAYERS.Scale = { form: scale, terms: scaleTerms };
LAYERS.Rescale = { form: rescale, terms: rescaleTerms };
