// Flatten, Reshape, Transpose.

import { LAYERS, copied, indexAt, placeOf } from "./base.js";
import { copying } from "./copying.js";

const terms = (context, index) => copied(context, indexAt(placeOf(index, context.y.shape), context.input.shape));

Object.assign(LAYERS, {
  Flatten: { terms },
  Reshape: { terms },
  Transpose: copying(({ axes }, index) => [0, axes.reduce((from, axis, k) => ((from[axis] = index[k]), from), [])]),
});
