// Softmax, LogSoftmax.

import { LAYERS, constant, part, size } from "./base.js";
import { larger } from "./window.js";

/** Softmax and its logarithm, along an axis: end makes the result of x - max, exp of it, and the sum of these. */
const softmax = (end) => ({ settings }, y, [x]) => {
  const K = x.shape[settings.axis], inner = size(x.shape.slice(settings.axis + 1));
  return () => {
    for (let first = 0; first < x.data.length; first += K * inner) {
      for (let from = first; from < first + inner; from++) {
        let max = -Infinity, total = 0;
        for (let k = 0; k < K; k++) max = larger(max, x.data[from + k * inner]);
        for (let k = 0; k < K; k++) total += Math.exp(x.data[from + k * inner] - max);
        for (let k = 0; k < K; k++) y.data[from + k * inner] = end(x.data[from + k * inner] - max, total);
      }
    }
  };
};

/** The numbers along the axis of a softmax, with the exponential and the share of each. */
function alongAxis(context, index) {
  const { axis } = context.settings;
  const alike = (k) => index.map((i, a) => (a === axis ? k : i));
  const found = Array.from({ length: context.input.shape[axis] }, (_, k) => context.x(alike(k)));
  const max = Math.max(...found.map(({ value }) => value));
  const exps = found.map(({ value }) => Math.exp(value - max));
  const sum = exps.reduce((total, each) => total + each, 0);
  return { found, exps, shares: exps.map((exp) => exp / sum), own: index[axis], numbers: { max, sum } };
}

const share = (number) => `share ${+number.toPrecision(4)}`;

function softmaxTerms(context, index) {
  const { found, exps, shares, own, numbers } = alongAxis(context, index);
  const parts = found.map((x, k) => ({ ...part([x], share(shares[k]), k === own ? shares[k] : 0), exp: exps[k] }));
  return { parts, numbers };
}

function logSoftmaxTerms(context, index) {
  const { found, exps, shares, own, numbers } = alongAxis(context, index);
  const whole = constant("-log sum", -numbers.max - Math.log(numbers.sum));
  const members = found.map((x, k) => ({ ...part([x], `${share(shares[k])} of the sum`, 0), exp: exps[k] }));
  return { parts: [part([found[own]]), part([whole], "the sum of all"), ...members], numbers };
}

Object.assign(LAYERS, {
  Softmax: { form: softmax((z, total) => Math.exp(z) / total), terms: softmaxTerms },
  LogSoftmax: { form: softmax((z, total) => z - Math.log(total)), terms: logSoftmaxTerms },
});
