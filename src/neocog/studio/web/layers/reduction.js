// Mean, Sum: along axes.

import { LAYERS, constant, eachIndex, indices, part, placeOf } from "./base.js";

/** Return the index of the sum, along axes that stay with size 1 or not, to which a number at an index belongs. */
const reducedIndex = ({ axes, keepdims }, index) =>
  keepdims ? index.map((k, axis) => (axes.includes(axis) ? 0 : k)) : index.filter((k, axis) => !axes.includes(axis));

/** Mean and Sum: each number is added to the one that it belongs to, and the sums are divided. */
const reduction = (divisorOf) => ({ settings }, y, [x]) => {
  const places = new Int32Array(x.data.length), divisor = divisorOf(x.data.length / y.data.length);
  eachIndex(x.shape, (index, place) => (places[place] = placeOf(reducedIndex(settings, index), y.shape)));
  return () => {
    y.data.fill(0);
    for (let k = 0; k < places.length; k++) y.data[places[k]] += x.data[k] / divisor;
  };
};

/** The numbers along the axes, each by their count if it is a mean. */
const terms = (isMean) => (context, index) => {
  const { input: { shape }, settings: { axes, keepdims } } = context;
  const rest = keepdims ? index.filter((k, axis) => !axes.includes(axis)) : [...index];
  const fixed = shape.map((length, axis) => (axes.includes(axis) ? 0 : rest.shift()));
  const places = indices(axes.map((axis) => shape[axis])).map((along) =>
    fixed.map((k, axis) => (axes.includes(axis) ? along[axes.indexOf(axis)] : k)));
  const count = places.length, share = isMean ? [constant("1/n", 1 / count)] : [];
  return { parts: places.map((at) => part([context.x(at), ...share])), numbers: isMean ? { count } : {} };
};

LAYERS.Mean = { form: reduction((count) => count), terms: terms(true) };
LAYERS.Sum = { form: reduction(() => 1), terms: terms(false) };
