// What the layers of the page are made of. A file of this folder has those of one family, as neocog/layers has: each enters
// itself into LAYERS as {form, terms}. A written page holds the files that its network needs, and no others (page.py).

/**
 * kind -> {form, terms}. form(node, y, inputs, arrays) reads the settings once, and returns the function that fills y.data;
 * without one, y has the data of the input. terms(context, index) returns {parts, numbers} of a number of y: see terms.js.
 */
export const LAYERS = {};

// ------------------------------------------------------------------------------------------------------- places

/** Return the product of sizes. */
export const size = (shape) => shape.reduce((product, k) => product * k, 1);

/** Return the place of an index in a shape. */
export const placeOf = (index, shape) => index.reduce((place, k, axis) => place * shape[axis] + k, 0);

/** Return the index of a place in a shape. */
export function indexAt(place, shape) {
  return shape.map((length, axis) => Math.floor(place / size(shape.slice(axis + 1))) % length);
}

/** Call visit(index, place) for all indices of a shape, in order. */
export function eachIndex(shape, visit) {
  const index = shape.map(() => 0), count = size(shape);
  for (let place = 0; place < count; place++) {
    visit(index, place);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

/** The index along all places of a shape, as a list. */
export function indices(shape) {
  const found = [];
  eachIndex(shape, (index) => found.push([...index]));
  return found;
}

// -------------------------------------------------------------------------------------------------------- terms

/** Make a part: the product of its factors, unless another number is given. */
export function part(factors, label = "", product = undefined) {
  const x = factors.find(({ node }) => node);
  const w = factors.filter((factor) => factor !== x).reduce((all, { value }) => all * value, 1);
  return {
    label, from: x?.node ?? null, at: x?.at ?? null, x: x?.value ?? null,
    w: product !== undefined || (x && factors.length === 1) ? null : w,
    product: product ?? w * (x?.value ?? 1), factors,
  };
}

export const constant = (symbol, value) => ({ symbol, value });

/** The part of a copied number. */
export const copied = (context, at, slot = 0) => ({ parts: [part([context.x(at, slot)])] });
