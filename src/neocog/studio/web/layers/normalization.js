// BatchNorm1D, BatchNorm2D, Normalize; GroupNorm, InstanceNorm, LayerNorm; LocalResponseNorm.

import { LAYERS, constant, indexAt, part, placeOf, size } from "./base.js";

/** y = (x - mean[c]) * scale[c] + shift[c] for each channel. */
function perChannel(y, [x], mean, scale, shift) {
  const C = mean.length, each = x.data.length / C;
  return () => {
    for (let c = 0; c < C; c++) {
      const m = mean[c], a = scale(c), b = shift ? shift[c] : 0;
      for (let k = c * each; k < (c + 1) * each; k++) y.data[k] = (x.data[k] - m) * a + b;
    }
  };
}

const batchNorm = (node, y, inputs, { w, b, mean, var: v }) =>
  perChannel(y, inputs, mean, (c) => w[c] / Math.sqrt(v[c] + node.settings.eps), b);

const normalize = (node, y, inputs, { mean, std }) => perChannel(y, inputs, mean, (c) => 1 / std[c]);

/** Return mean and 1 / sqrt(variance + eps) of so many numbers, `step` apart. */
function moments(x, first, length, eps, step) {
  let mean = 0, variance = 0;
  const end = first + length * step;
  for (let k = first; k < end; k += step) mean += x[k];
  mean /= length;
  for (let k = first; k < end; k += step) variance += (x[k] - mean) ** 2;
  return { mean, scale: 1 / Math.sqrt(variance / length + eps) };
}

/** GroupNorm, InstanceNorm, LayerNorm: sets of numbers; weights, if any, go along channels or normalised axes. */
function sampleNorm(node, y, [x], { w, b }) {
  const { sets: [before, length, after], eps } = node.settings;
  const weightAt = w && weightPlace(node, x);
  return () => {
    for (let g = 0; g < before * after; g++) {
      const first = Math.floor(g / after) * length * after + (g % after);
      const { mean, scale } = moments(x.data, first, length, eps, after);
      for (let n = 0, k = first; n < length; n++, k += after) {
        const normal = (x.data[k] - mean) * scale, c = w && weightAt(k);
        y.data[k] = w ? normal * w[c] + b[c] : normal;
      }
    }
  };
}

/** Return the function from a place in x to the place of its weight. */
function weightPlace(node, x) {
  const [, length, after] = node.settings.sets;
  const each = x.data.length / size(node.array_shapes.w);
  return node.kind === "LayerNorm" ? (k) => Math.floor(k / after) % length : (k) => Math.floor(k / each);
}

/** LocalResponseNorm: y = x / s^beta. */
function localResponseNorm(node, y, [x]) {
  const { beta } = node.settings;
  return () => {
    for (let k = 0; k < x.data.length; k++) y.data[k] = x.data[k] * response(node, x, k) ** -beta;
  };
}

/** Return s of local response normalization: k + alpha / size * sum of squares over the channels around. */
function response({ settings }, x, at) {
  const [C, H, W] = x.shape, c = Math.floor(at / (H * W)), place = at % (H * W);
  let sum = 0;
  const last = Math.min(c + Math.floor((settings.size - 1) / 2), C - 1);
  for (let j = Math.max(c - Math.floor(settings.size / 2), 0); j <= last; j++) sum += x.data[j * H * W + place] ** 2;
  return settings.k + (settings.alpha / settings.size) * sum;
}

/** y = w (x - mean) scale + b as three parts: of the number, of the mean, the bias; w and b only if there are any. */
function normalized(context, index, mean, scale, whose, place) {
  const by = [...("w" in context.node.arrays ? [context.array("w", place)] : []), constant("1/std", scale)];
  const parts = [part([context.x(index), ...by]), part([constant("-mean", -mean), ...by], whose)];
  return { parts: [...parts, ...context.bias(place)], numbers: { mean, std: 1 / scale } };
}

function batchNormTerms(context, index) {
  const [c] = index, scale = 1 / Math.sqrt(context.numbers("var")[c] + context.settings.eps);
  return normalized(context, index, context.numbers("mean")[c], scale, "mean so far", [c]);
}

function normalizeTerms(context, index) {
  const mean = context.numbers("mean")[index[0]], std = context.numbers("std")[index[0]];
  const over = constant("1/std", 1 / std);
  const parts = [part([context.x(index), over]), part([constant("-mean", -mean), over], "mean of the data")];
  return { parts, numbers: { mean, std } };
}

function sampleNormTerms(context, index) {
  const { settings, input, node } = context;
  const place = placeOf(index, input.shape), [, length, after] = settings.sets;
  const first = Math.floor(place / (length * after)) * length * after + (place % after);
  const { mean, scale } = moments(input.data, first, length, settings.eps, after);
  const at = "w" in node.arrays ? indexAt(weightPlace(node, input)(place), node.array_shapes.w) : null;
  return normalized(context, index, mean, scale, "mean of the group", at);
}

function localResponseNormTerms(context, index) {
  const s = response(context.node, context.input, placeOf(index, context.input.shape));
  return { parts: [part([context.x(index), constant("1/s^beta", s ** -context.settings.beta)])], numbers: { s } };
}

const overBatches = { form: batchNorm, terms: batchNormTerms }, overSamples = { form: sampleNorm, terms: sampleNormTerms };

Object.assign(LAYERS, {
  BatchNorm1D: overBatches, BatchNorm2D: overBatches,
  Normalize: { form: normalize, terms: normalizeTerms },
  GroupNorm: overSamples, InstanceNorm: overSamples, LayerNorm: overSamples,
  LocalResponseNorm: { form: localResponseNorm, terms: localResponseNormTerms },
});
