// The input: a pad to draw on, the samples, and the picture as the network sees it.

import { className, probabilities, ranking } from "./answer.js";
import { drawImage, still } from "./colour.js";
import { fill, h, number, percent, say } from "./dom.js";
import { extent, manner, normalise } from "./normalise.js";

const SIDE = 240; // of the pad's own units
const PEN = 13; // of the line on the pad, in the same units

/** The panel with pad, samples, and what the network sees. */
export const inputPanel = {
  zone: "left",
  id: "input",
  title: "Input",
  mount(el, context) {
    const { model } = context;
    let undo = [];
    let shown = null;
    const end = () => undo.forEach((each) => each?.());
    // Other data, as in the studio, need another pad and other samples.
    const make = () => {
      if (!model.description || shown === model.samples) return;
      shown = model.samples;
      end();
      undo = [];
      const seen = sight(context);
      const drawable = context.shape[0] === 1 && context.shape[1] > 1 && (model.description.page !== false || model.can.ask);
      const parts = [];
      if (drawable) {
        const [element, ends] = pad(context);
        parts.push(element);
        undo.push(ends);
      }
      parts.push(seen.element);
      undo.push(seen.end);
      if (!drawable && model.description.page !== false) parts.push(chooser(context));
      if (model.samples.length) {
        const [element, ends] = samples(context);
        parts.push(element);
        undo.push(ends);
      }
      fill(el, parts);
    };
    make();
    const off = context.on("model", make);
    return () => {
      off();
      end();
    };
  },
};

/** Return the pad: strokes are kept as lines, and drawn again as the data are. */
function pad(context) {
  const how = manner(context.shape, context.model.samples);
  let strokes = [];
  let drawing = null;
  const canvas = h("canvas.pad", { role: "img", "aria-label": "A pad to draw on with mouse, pen or finger. Drawn so far: nothing." });
  const clear = h("button.quiet", { onclick: () => change([]), disabled: true }, "Clear");
  const back = h("button.quiet", { onclick: () => change(strokes.slice(0, -1)), disabled: true }, "Undo");
  const prompt = h("span.prompt", { "aria-hidden": "true" }, "Draw here");
  const element = h("div.pad-box", {}, h("div.pad-frame", {}, canvas, prompt), h("div.buttons", {}, back, clear));

  const paint = () => {
    const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
    const side = canvas.clientWidth || SIDE;
    if (canvas.width !== Math.round(side * ratio)) canvas.width = canvas.height = Math.round(side * ratio);
    const brush = canvas.getContext("2d");
    const unit = canvas.width / SIDE;
    brush.setTransform(unit, 0, 0, unit, 0, 0);
    brush.fillStyle = "#ffffff";
    brush.fillRect(0, 0, SIDE, SIDE);
    const corners = extent(strokes);
    if (corners) {
      brush.strokeStyle = "#0072b2";
      brush.lineWidth = 1;
      brush.setLineDash([4, 4]);
      const edge = PEN / 2 + 1;
      brush.strokeRect(corners.left - edge, corners.top - edge, corners.right - corners.left + 2 * edge, corners.bottom - corners.top + 2 * edge);
      brush.setLineDash([]);
    }
    brush.strokeStyle = brush.fillStyle = "#10161c";
    brush.lineWidth = PEN;
    brush.lineCap = brush.lineJoin = "round";
    for (const stroke of strokes) {
      brush.beginPath();
      brush.moveTo(...stroke[0]);
      for (const point of stroke) brush.lineTo(...point);
      brush.stroke();
    }
    prompt.hidden = strokes.length > 0;
    clear.disabled = back.disabled = !strokes.length;
  };
  const change = (next) => {
    strokes = next;
    paint();
    canvas.setAttribute("aria-label", `A pad to draw on with mouse, pen or finger. Drawn so far: ${strokes.length || "nothing"}${strokes.length ? (strokes.length === 1 ? " stroke." : " strokes.") : "."}`);
    context.set({ image: strokes.length ? normalise(strokes, context.shape, how) : null });
  };
  const point = (event) => {
    const bounds = canvas.getBoundingClientRect();
    const clamp = (value) => Math.min(SIDE, Math.max(0, value));
    return [clamp(((event.clientX - bounds.left) / bounds.width) * SIDE), clamp(((event.clientY - bounds.top) / bounds.height) * SIDE)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture?.(event.pointerId);
    context.slide(false);
    if (context.source !== "pad") strokes = [];
    drawing = [point(event)];
    change([...strokes, drawing]);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const each of moves.length ? moves : [event]) drawing.push(point(each));
    change(strokes);
  });
  const stop = () => {
    drawing = null;
  };
  canvas.addEventListener("pointerup", stop);
  canvas.addEventListener("pointercancel", stop);
  const watch = new ResizeObserver(paint);
  watch.observe(canvas);
  const off = context.on("input", () => {
    if (context.source === "sample" && strokes.length) {
      strokes = [];
      paint();
    }
  });
  return [
    element,
    () => {
      watch.disconnect();
      off();
    },
  ];
}

/** Return the picture as the network sees it, which the arrow keys push. */
function sight(context) {
  const canvas = h("canvas.seen", { "aria-hidden": "true" });
  const words = h("p.hint");
  const verdict = h("p.reads", { "aria-hidden": "true" });
  const push = (down, right) => {
    const [i, j] = context.state.shift;
    const [, height, width] = context.shape;
    const limit = (value, most) => Math.max(-most, Math.min(most, value));
    context.slide(false);
    context.set({ shift: [limit(i + down, height - 1), limit(j + right, width - 1)] });
  };
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const frame = h(
    "div.seen-frame",
    {
      tabindex: 0,
      role: "application",
      "aria-label": "The picture as the network sees it. Push it with the arrow keys; Home puts it back.",
      onkeydown: (event) => {
        if (steps[event.key]) push(...steps[event.key]);
        else if (event.key === "Home") context.set({ shift: [0, 0] });
        else return;
        event.preventDefault();
      },
    },
    canvas,
  );
  const names = { ArrowLeft: "left", ArrowUp: "up", ArrowDown: "down", ArrowRight: "right" };
  const arrows = { ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", ArrowRight: "→" };
  const buttons = Object.keys(names).map((key) =>
    h("button.quiet.push", { "aria-label": `Push the picture ${names[key]}`, onclick: () => push(...steps[key]) }, arrows[key]),
  );
  const element = h(
    "div.sight",
    {},
    h("div.sight-row", {}, frame, h("div.sight-words", {}, h("p.label", {}, "As the network sees it"), words, verdict)),
    context.model.description.page === false && !context.model.can.ask ? null : h("div.buttons.pushes", {}, h("span.hint", {}, "Push it"), buttons),
  );
  let still = null; // the answer before the picture was pushed
  const draw = () => {
    const image = context.image();
    drawImage(canvas, image, context.shape, context.tone);
    const [, height, width] = context.shape;
    const [down, right] = context.state.shift;
    const colours = { 1: "", 3: " in colour" }[context.shape[0]] ?? `, ${context.shape[0]} channels`;
    say(words, `${height} × ${width} pixels${colours}.${moved(down, right)}`);
  };
  const tell = () => {
    const { state, description } = context;
    const output = context.values().get(description.output);
    const p = probabilities(description, output);
    const best = p.length ? ranking(output, description)[0] : -1;
    const own = Math.min(best, (output?.data.length ?? 1) - 1);
    if (!state.shift.some(Boolean)) still = best < 0 ? null : { best, own, z: output.data[own] };
    else if (still && output) say(words, `${moved(...state.shift).trim()} The logit of ${className(description, still.best)}: ${number(still.z)} → ${number(output.data[still.own])}.`);
    say(verdict, best < 0 ? "" : `${className(context.description, best)} · ${percent(p[best])}`);
  };
  const ends = [context.on("input", draw), context.on("values", tell)];
  return { element, end: () => ends.forEach((end) => end()) };
}

/** Return the button that takes a picture from the person's own files, scaled here as the data were. */
function chooser(context) {
  const problem = h("p.bad", { role: "alert" });
  const input = h("input", { type: "file", accept: "image/*", "aria-label": "Choose a picture of your own" });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    say(problem, "");
    try {
      const bitmap = await createImageBitmap(file);
      context.slide(false);
      context.set({ image: fromBitmap(bitmap, context.shape, context.description.preprocessing) });
    } catch {
      say(problem, `${file.name} is no picture that this browser can read.`);
    }
    input.value = "";
  });
  return h("div.chooser", {}, h("label.file", {}, h("span.quiet", {}, "Open a picture …"), input), h("p.hint", {}, "It stays on this device. The browser scales it, so numbers may differ a little from those of “neocog predict”."), problem);
}

/** Return the image (C, H, W) that a picture becomes: stretched, cut or padded, brightness 0..1, ink dark. */
function fromBitmap(bitmap, [channels, height, width], preprocessing) {
  const fit = preprocessing?.fit ?? "stretch";
  const canvas = document.createElement("canvas");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  let [w, h0] = [bitmap.width, bitmap.height];
  canvas.width = w;
  canvas.height = h0;
  brush.drawImage(bitmap, 0, 0);
  // Halved as long as it is twice too large, so that no pixel is left out.
  while (w >= 2 * width && h0 >= 2 * height) {
    const half = document.createElement("canvas");
    half.width = w = Math.ceil(w / 2);
    half.height = h0 = Math.ceil(h0 / 2);
    const other = half.getContext("2d");
    other.imageSmoothingQuality = "high";
    other.drawImage(canvas, 0, 0, w, h0);
    canvas.width = w;
    canvas.height = h0;
    brush.drawImage(half, 0, 0);
  }
  const end = document.createElement("canvas");
  end.width = width;
  end.height = height;
  const paper = end.getContext("2d", { willReadFrequently: true });
  paper.imageSmoothingQuality = "high";
  paper.fillStyle = "#fff";
  paper.fillRect(0, 0, width, height);
  const scale = fit === "crop" ? Math.max(width / w, height / h0) : Math.min(width / w, height / h0);
  const [across, down] = fit === "stretch" ? [width, height] : [w * scale, h0 * scale];
  paper.drawImage(canvas, (width - across) / 2, (height - down) / 2, across, down);
  const { data } = paper.getImageData(0, 0, width, height);
  const size = height * width;
  const image = new Float32Array(channels * size);
  for (let i = 0; i < size; i++) {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    for (let c = 0; c < channels; c++) {
      const value = (channels === 3 ? [r, g, b][c] : 0.299 * r + 0.587 * g + 0.114 * b) / 255;
      image[c * size + i] = preprocessing?.tone === "ink" ? 1 - value : value;
    }
  }
  return image;
}

/** Say how far the picture was pushed. */
function moved(down, right) {
  const parts = [
    down ? `${Math.abs(down)} ${down > 0 ? "down" : "up"}` : "",
    right ? `${Math.abs(right)} ${right > 0 ? "right" : "left"}` : "",
  ].filter(Boolean);
  return parts.length ? ` Pushed ${parts.join(", ")}.` : "";
}

/** Return the samples, mistakes first; the one shown is pressed. */
function samples(context) {
  const { model } = context;
  const buttons = model.samples.map(({ image, label, name, predicted }, k) => {
    const wrong = predicted !== undefined && predicted !== null && label !== null && predicted !== label;
    const words = label === null || label === undefined ? name : className(model.description, label);
    return h(
      `button.sample${wrong ? ".mistake" : ""}`,
      {
        "aria-pressed": "false",
        "aria-label": `${name}: ${words}${wrong ? `, taken for ${className(model.description, predicted)}` : ""}`,
        title: `${name}: ${words}${wrong ? `, taken for ${className(model.description, predicted)}` : ""}`,
        onclick: () => {
          context.slide(false);
          context.set({ sample: k });
        },
      },
      still(image, context.shape, context.tone),
      h("span", {}, wrong ? `✗ ${words}` : words),
    );
  });
  const draw = () => {
    const { state, source } = context;
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(source === "sample" && k === state.sample)));
  };
  const mistakes = model.samples.some(({ predicted, label }) => typeof predicted === "number" && predicted !== label);
  const words = model.heldOut ? "Images it has never seen" : "Images";
  const element = h(
    "div.sample-box",
    {},
    h("p.label", {}, mistakes ? `${words}, its mistakes (✗) first` : words),
    h("div.samples", {}, buttons),
  );
  draw();
  return [element, context.on("input", draw)];
}
