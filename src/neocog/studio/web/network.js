// The forward pass of a network for one image, in doubles, from the description that Python writes (architecture.py).
// All arrays are allocated at once, with the first weights.

import { size } from "./layers/base.js";
import { LAYERS } from "./layers/index.js";

/**
 * A network that computes: new Network(description), load(arrays), then forward(image) as often as wanted.
 * It has one set of values, which each forward overwrites: for a second image at the same time make a second network.
 */
export class Network {
  constructor(description) {
    this.description = description;
    this.arrays = new Map(); // name -> Float64Array
    this.values = new Map(); // node -> {shape, data}
    this.steps = null; // functions, each fills the values of one node
  }

  /** Read all settings, and allocate all that a forward pass needs. */
  build() {
    const { input, nodes } = this.description;
    const unknown = nodes.find((node) => !node.page || !(node.kind in LAYERS));
    if (unknown) throw new Error(`the page has no form of ${unknown.name} (${unknown.kind})`);
    this.values.set("input", array(input));
    this.steps = nodes.flatMap((node) => {
      const inputs = node.inputs.map((name) => this.values.get(name));
      const { form } = LAYERS[node.kind];
      const y = form ? array(node.shape) : { shape: node.shape, data: inputs[0].data };
      this.values.set(node.name, y);
      return form ? [form(node, y, inputs, this.arraysOf(node))] : [];
    });
  }

  /** Return a node's arrays by role, those that forward computes with. */
  arraysOf(node) {
    const own = {};
    for (const [role, name] of Object.entries(node.arrays)) {
      if (!this.arrays.has(name)) this.arrays.set(name, new Float64Array(size(node.array_shapes[role])));
      own[role] = this.arrays.get(name);
    }
    return own;
  }

  /** Copy weights and buffers from a Map(name -> {data} or numbers); other names are passed over. */
  load(arrays) {
    if (!this.steps) this.build();
    for (const [name, own] of this.arrays) {
      const given = arrays.get(name)?.data ?? arrays.get(name);
      if (given?.length !== own.length) {
        throw new Error(`array ${name} must hold ${own.length} numbers, got ${given ? given.length : "none"}`);
      }
      own.set(given);
    }
  }

  /** Compute all values of an image; returns Map(node -> {shape, data}). */
  forward(image) {
    if (!this.steps) throw new Error("load the arrays before the first image");
    const { data } = this.values.get("input");
    if (image.length !== data.length) {
      throw new Error(`the image must hold ${data.length} numbers, got ${image.length}`);
    }
    data.set(image);
    for (const step of this.steps) step();
    return this.values;
  }
}

/** Allocate an array. */
const array = (shape) => ({ shape, data: new Float64Array(size(shape)) });
