// Colours of numbers: blue below zero, orange above; pictures as people see them.

const LIGHT = [
  [-1, 8, 65, 92],
  [-0.5, 74, 156, 201],
  [0, 255, 255, 255],
  [0.5, 240, 160, 75],
  [1, 156, 58, 0],
];
const DARK = [
  [-1, 178, 224, 250],
  [-0.5, 62, 142, 190],
  [0, 23, 28, 34],
  [0.5, 214, 124, 40],
  [1, 255, 216, 170],
];
const STEPS = 255;
const tables = new Map();

const scheme = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : { matches: false };

/** Whether the page is dark. */
export function dark() {
  return scheme.matches;
}

/** Return the colours of -1..1 in 511 steps, as bytes of red, green, blue. */
function table(stops) {
  if (!tables.has(stops)) {
    const found = new Uint8ClampedArray(3 * (2 * STEPS + 1));
    for (let k = -STEPS; k <= STEPS; k++) {
      const at = k / STEPS;
      const right = Math.max(1, stops.findIndex(([stop]) => at <= stop));
      const [a, ...low] = stops[right - 1];
      const [b, ...high] = stops[right];
      for (let c = 0; c < 3; c++) found[3 * (k + STEPS) + c] = low[c] + ((high[c] - low[c]) * (at - a)) / (b - a);
    }
    tables.set(stops, found);
  }
  return tables.get(stops);
}

/** Return the largest magnitude of the finite numbers, 1 if all are zero. */
export function bound(data) {
  let found = 0;
  for (let i = 0; i < data.length; i++) {
    const size = Math.abs(data[i]);
    if (size > found && size < Infinity) found = size;
  }
  return found || 1;
}

/** Write the colours of numbers into the bytes of an ImageData; what is no number becomes magenta. */
export function paint(target, data, from, count, scale) {
  const colours = table(dark() ? DARK : LIGHT);
  for (let i = 0; i < count; i++) {
    const value = data[from + i] / scale;
    const at = 4 * i;
    if (Number.isNaN(value)) {
      target[at] = 214;
      target[at + 1] = 51;
      target[at + 2] = 132;
    } else {
      const k = 3 * (Math.round(Math.min(1, Math.max(-1, value)) * STEPS) + STEPS);
      target[at] = colours[k];
      target[at + 1] = colours[k + 1];
      target[at + 2] = colours[k + 2];
    }
    target[at + 3] = 255;
  }
}

/** Return the CSS colour of a number. */
export function colourOf(value, scale) {
  const found = new Uint8ClampedArray(4);
  paint(found, [value], 0, 1, scale);
  return `rgb(${found[0]} ${found[1]} ${found[2]})`;
}

/** Return the colour of text on the colour of a number. */
export function textOn(value, scale) {
  const found = new Uint8ClampedArray(4);
  paint(found, [value], 0, 1, scale);
  return 0.3 * found[0] + 0.59 * found[1] + 0.11 * found[2] > 140 ? "#10161c" : "#ffffff";
}

/** Write an image (C, H, W) as people see it: grey, colour, or the mean of other channels; ink is dark. */
export function picture(target, image, [channels, height, width], tone) {
  const size = height * width;
  let low = 0;
  let high = 1;
  for (let i = 0; i < image.length; i++) {
    if (image[i] < low) low = image[i];
    if (image[i] > high) high = image[i];
  }
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      let value = 0;
      if (channels === 3) value = image[c * size + i];
      else for (let k = 0; k < channels; k++) value += image[k * size + i] / channels;
      const share = (value - low) / (high - low);
      target[4 * i + c] = 255 * (tone === "ink" && channels !== 3 ? 1 - share : share);
    }
    target[4 * i + 3] = 255;
  }
}

/** Draw an image (C, H, W) into a canvas, a pixel each; CSS makes it large. */
export function drawImage(canvas, image, shape, tone) {
  const [, height, width] = shape;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  picture(pixels.data, image, shape, tone);
  context.putImageData(pixels, 0, 0);
}

/** Return an image (C, H, W) as a picture that stays: the browser lays out a canvas anew with each frame. */
export function still(image, shape, tone, alt = "") {
  const canvas = document.createElement("canvas");
  drawImage(canvas, image, shape, tone);
  const found = document.createElement("img");
  found.src = canvas.toDataURL();
  found.alt = alt;
  return found;
}
