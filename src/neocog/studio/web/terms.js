// The terms behind any number of a network, each a product of numbers that have terms in turn, down to the pixels:
// those that neocog.inspection.explain lists in Python.

import { part, placeOf } from "./layers/base.js";
import { LAYERS } from "./layers/index.js";

/**
 * Return {value, formula, parts, numbers, rest} of a number: the parts add up to the value, the rest is what is left.
 *
 * A part is {label, from, at, x, w, product, factors}: the number x of node `from` at `at`, and w, by which it is
 * multiplied (null where the part is no product; x, from and at are null for a bias). Its factors are {symbol, value}, with
 * {node, at} if it is a number of the network, {array, at} if a weight. `numbers` holds what else the formula has: a
 * mean, a count. `network` is a Network, or {description, arrays} of one that the page does not compute.
 */
export function terms(network, values, name, index) {
  const y = values.get(name), node = network.description.nodes.find((each) => each.name === name);
  const value = y?.data[placeOf(index, y.shape)];
  if (!y || !node) return { value, formula: "", parts: [], numbers: {}, rest: 0 };
  if (!(node.kind in LAYERS)) throw new Error(`the page has no terms of ${name} (${node.kind})`);
  const { parts, numbers = {} } = LAYERS[node.kind].terms(new Context(network, values, node, y), index);
  const rest = parts.reduce((sum, { product }) => sum - product, value);
  const magnitude = parts.reduce((sum, { product }) => sum + Math.abs(product), 0);
  return { value, formula: node.formula, parts, numbers, rest: Math.abs(rest) <= 1e-9 * magnitude ? 0 : rest };
}

/** What the terms of a node are made of: its inputs, its arrays, and factors of both. */
class Context {
  constructor(network, values, node, y) {
    Object.assign(this, { network, node, y, settings: node.settings });
    this.inputs = node.inputs.map((name) => values.get(name));
  }

  /** The only input. */
  get input() {
    return this.inputs[0];
  }

  /** Return a number of an input as a factor. */
  x(at, slot = 0) {
    const { shape, data } = this.inputs[slot];
    return { symbol: "x", value: data[placeOf(at, shape)], node: this.node.inputs[slot], at };
  }

  /** Return the numbers of an array of the node. */
  numbers(role) {
    const found = this.network.arrays.get(this.node.arrays[role]);
    return found.data ?? found;
  }

  /** Return a number of an array of the node as a factor. */
  array(role, at) {
    const { arrays, array_shapes: shapes } = this.node;
    return { symbol: role, value: this.numbers(role)[placeOf(at, shapes[role])], array: arrays[role], at };
  }

  /** Return the bias as a list of one part, or of none. */
  bias(at) {
    return "b" in this.node.arrays ? [part([this.array("b", at)], "bias")] : [];
  }
}
