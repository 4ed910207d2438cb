// The activations: functions of one number, and PReLU.

import { LAYERS, part } from "./base.js";

/** Make the form of a function of one number from its settings. */
const elementwise = (make) => ({ settings }, y, [x]) => {
  const f = make(settings);
  return () => {
    for (let k = 0; k < y.data.length; k++) y.data[k] = f(x.data[k]);
  };
};

/** Keep a number between bounds; a NaN stays one. */
const clip = (x, low, high) => (x < low ? low : x > high ? high : x);

/** The activations: settings -> function of one number. */
const ACTIVATIONS = {
  ReLU: () => (x) => (x < 0 ? 0 : x),
  LeakyReLU: ({ slope }) => (x) => (x > 0 ? x : slope * x),
  Sigmoid: () => sigmoid,
  Tanh: () => Math.tanh,
  ScaledTanh: ({ amplitude, slope }) => (x) => amplitude * Math.tanh(slope * x),
  GELU: ({ approximate }) => approximate === "tanh"
    ? (x) => x * 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))
    : (x) => x * 0.5 * erfc(-x * Math.SQRT1_2),
  Hardswish: () => (x) => x * (x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5),
  Hardsigmoid: ({ slope, offset }) => (x) => clip(slope * x + offset, 0, 1),
  Clip: ({ low, high }) => (x) => clip(x, low ?? -Infinity, high ?? Infinity),
  SiLU: () => (x) => x * sigmoid(x),
  ELU: ({ alpha }) => (x) => (x > 0 ? x : alpha * Math.expm1(x)),
  SELU: () => (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  Softplus: ({ beta }) => (x) => softplus(beta * x) / beta,
  Mish: () => (x) => x * Math.tanh(softplus(x)),
  Exp: () => Math.exp,
  Sqrt: () => Math.sqrt,
  Power: ({ exponent }) => (x) => x ** exponent,
  Abs: () => Math.abs,
};

/** The logistic function, without overflow. */
function sigmoid(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** log(1 + exp(x)), without overflow. */
function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** The complementary error function: 1 - a series of positive terms where x is small, else a continued fraction. */
function erfc(x) {
  if (x !== x) return NaN;
  if (x < 0) return 2 - erfc(-x);
  if (x > 27) return 0;
  if (x < 2) {
    let term = x, sum = x;
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}

/** Leaky ReLU with a learned slope, one for all or one a channel. */
function prelu(node, y, [x], { w }) {
  const each = x.data.length / w.length;
  return () => {
    for (let k = 0; k < x.data.length; k++) y.data[k] = x.data[k] > 0 ? x.data[k] : w[Math.floor(k / each)] * x.data[k];
  };
}

const terms = (make) => (context, index) => {
  const x = context.x(index), { kind } = context.node;
  const below = { ReLU: "is cut off", LeakyReLU: "is damped" }[kind];
  return { parts: [part([x], below ? (x.value > 0 ? "passes" : below) : "", make(context.settings)(x.value))] };
};

function preluTerms(context, index) {
  const x = context.x(index);
  if (x.value > 0) return { parts: [part([x], "passes")] };
  return { parts: [part([x, context.array("w", [context.node.array_shapes.w[0] === 1 ? 0 : index[0]])], "is damped")] };
}

for (const [kind, make] of Object.entries(ACTIVATIONS)) LAYERS[kind] = { form: elementwise(make), terms: terms(make) };
LAYERS.PReLU = { form: prelu, terms: preluTerms };
