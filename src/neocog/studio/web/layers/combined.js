// Arrays that are combined number by number, those of size 1 along an axis repeated.

import { eachIndex, placeOf } from "./base.js";

/** Return the index, in an array that is repeated to fit, of the number at an index. */
export function repeatedFrom(index, shape) {
  const own = shape.slice(Math.max(0, shape.length - index.length)); // without the batch, where it states one
  const rest = index.slice(index.length - own.length);
  return [...shape.slice(own.length).map(() => 0), ...own.map((length, k) => (length === 1 ? 0 : rest[k]))];
}

/** Combine arrays number by number; the first fills y. */
export function combined(y, parts, combine) {
  const places = parts.map(({ shape, data }) => { // null where nothing is repeated
    if (data.length === y.data.length) return null;
    const own = new Int32Array(y.data.length);
    eachIndex(y.shape, (index, place) => (own[place] = placeOf(repeatedFrom(index, shape), shape)));
    return own;
  });
  return () => {
    for (const [n, { data }] of parts.entries()) {
      const own = places[n];
      for (let k = 0; k < y.data.length; k++) {
        const value = data[own ? own[k] : k];
        y.data[k] = n ? combine(y.data[k], value) : value;
      }
    }
  };
}

export const times = (a, b) => a * b;
