// Layers that copy numbers from elsewhere, or put in a constant.

import { constant, copied, eachIndex, part, placeOf } from "./base.js";

/**
 * Make {form, terms} of source(settings, index, inputs), which returns [slot, index]: what number of which input a number of y
 * is copied from; null where it is the constant.
 */
export const copying = (source) => ({
  form(node, y, inputs) {
    const slots = new Int32Array(y.data.length).fill(-1), places = new Int32Array(y.data.length);
    eachIndex(y.shape, (index, place) => {
      const found = source(node.settings, index, inputs);
      if (!found) return;
      slots[place] = found[0];
      places[place] = placeOf(found[1], inputs[found[0]].shape);
    });
    const constant = node.settings.value ?? 0;
    return () => {
      for (let k = 0; k < slots.length; k++) y.data[k] = slots[k] < 0 ? constant : inputs[slots[k]].data[places[k]];
    };
  },
  terms(context, index) {
    const found = source(context.settings, index, context.inputs);
    if (found) return copied(context, found[1], found[0]);
    const { value } = context.settings;
    return { parts: value === undefined ? [] : [part([constant("value", value)], "padding")] };
  },
});
