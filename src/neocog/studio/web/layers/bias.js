// Bias.

import { LAYERS, part } from "./base.js";
import { combined, repeatedFrom } from "./combined.js";
import { sum } from "./window.js";

const form = (node, y, [x], { b }) => combined(y, [x, { shape: node.array_shapes.b, data: b }], sum);

const terms = (context, index) => ({
  parts: [part([context.x(index)]), ...context.bias(repeatedFrom(index, context.node.array_shapes.b))],
});

LAYERS.Bias = { form, terms };
