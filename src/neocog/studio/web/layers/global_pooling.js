// GlobalMaxPool2D, GlobalAvgPool2D.

import { LAYERS, indices, size } from "./base.js";
import { larger, maximum, mean, sum } from "./window.js";

/** A number for each whole map. */
const globalPooling = (begin, combine, end) => (node, y, [x]) => () => {
  const each = x.data.length / y.data.length;
  for (let c = 0; c < y.data.length; c++) {
    let result = begin;
    for (let k = c * each; k < (c + 1) * each; k++) result = combine(result, x.data[k]);
    y.data[c] = end(result, each);
  }
};

/** The places of a whole map. */
const mapOf = ({ input }, [c]) => indices(input.shape.slice(1)).map((place) => [c, ...place]);

Object.assign(LAYERS, {
  GlobalMaxPool2D: { form: globalPooling(-Infinity, larger, (max) => max), terms: maximum(mapOf) },
  GlobalAvgPool2D: {
    form: globalPooling(0, sum, (total, count) => total / count),
    terms: mean(mapOf, "1/(H W)", ({ input }) => size(input.shape.slice(1))),
  },
});
