// What the panels of the studio share: pictures, the question about the image shown, sentences where something fails.

import { bound, drawImage, paint } from "./colour.js";
import { h, number, say } from "./dom.js";

/** Return a canvas with an image (C, H, W) as people see it. */
export function picture(image, shape, tone, label = "") {
  const canvas = h("canvas.picture", label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" });
  drawImage(canvas, image, shape.length === 3 ? shape : [1, ...shape], tone);
  return canvas;
}

/** Paint a map (H, W) into a canvas, blue below zero, orange above. */
export function heat(canvas, data, rows, columns, scale = bound(data), from = 0) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  paint(pixels.data, data, from, rows * columns, scale);
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** Tell Python which image is shown, if it does not know yet; the promise holds what it predicts. */
export async function shown(context) {
  const { model } = context;
  const input = context.values()?.get("input");
  if (!input) throw new Error("No image is shown: draw one, or choose one at the left.");
  const known = model.told;
  const same = known && known.data.length === input.data.length && known.data.every((value, k) => value === Math.fround(input.data[k]));
  if (same) return known.answer;
  const data = Float32Array.from(input.data);
  const answer = await model.send("image", {}, new Map([["image", { shape: model.description.input, data }]]));
  model.told = { data, answer };
  return answer;
}

/** Run what a button asks for: the button rests meanwhile, and what fails is said in `status`. */
export async function run(button, status, work) {
  if (button) button.disabled = true;
  status?.classList.remove("bad");
  try {
    return await work();
  } catch (error) {
    if (status) {
      status.classList.add("bad");
      say(status, error.message);
    }
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}

/** Return a function that runs `work` at most once at a time, and once more if it was called meanwhile. */
export function newest(work) {
  let busy = false;
  let again = false;
  return async function call() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      busy = false;
    }
  };
}

/** Return the name of a class; of several labels their names. */
export function className(model, label) {
  if (label === null || label === undefined) return "?";
  if (Array.isArray(label)) return label.map((k) => className(model, k)).join(", ") || "no label";
  return model.description.class_names?.[label] ?? String(label);
}

/** Write a fraction as a percentage with one decimal. */
export function share(value) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : `${(100 * value).toFixed(1)}\u00a0%`;
}

/** Whether a panel can be seen: what nobody sees is not asked for. */
export function visible(element) {
  return element.isConnected && element.getClientRects().length > 0;
}

/** Write a number of Python's, which sends null for what is not finite. */
export function num(value, digits) {
  return number(value ?? NaN, digits);
}
