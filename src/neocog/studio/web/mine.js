// Own classes: draw a few of each, or drop photos, and train on them in a second.

import { className } from "./answer.js";
import { drawImage, still } from "./colour.js";
import { fill, h, say, whole } from "./dom.js";
import { manner, normalise } from "./normalise.js";
import { run } from "./tools.js";

const SHAPE = [1, 16, 16]; // of a drawing as the network gets it
const ENOUGH = 3; // images of a class, before it can be trained on
const SIDE = 240;
const EPOCHS = 30; // of the first training on own classes
const PHOTO = 96; // pixels of a drawing that goes along with photos

/** The panel of class bins. */
export const minePanel = {
  mount(el, context) {
    const { model } = context;
    const how = manner(SHAPE, []);
    const classes = model.bins ?? (model.bins = [bin("A"), bin("B")]);
    let strokes = [];
    let drawing = null;
    const canvas = h("canvas.pad", { role: "img", "aria-label": "Draw one example, then press the class that it belongs to" });
    const prompt = h("span.prompt", { "aria-hidden": "true" }, "Draw one example");
    const clear = h("button.quiet", { disabled: true, onclick: () => change([]) }, "Clear");
    const bins = h("div.bins");
    const said = h("p.status", { role: "status" });
    const answer = h("p.mine-answer", { role: "status" });
    const add = h("button.quiet", { onclick: () => { classes.push(bin(String.fromCharCode(65 + classes.length))); draw(); } }, "＋ another class");
    const train = h("button.primary", { onclick: () => run(train, said, learn) }, "Train on these");
    fill(el, h("p.hint", {}, `Draw ${ENOUGH} to 10 of each class; the network learns them in a second.`),
      h("div.mine-pad", {}, h("div.pad-frame", {}, canvas, prompt), h("div.line", {}, answer, clear)), bins, add, train, said);

    /** Draw the pad. */
    function paint() {
      const ratio = Math.min(3, devicePixelRatio || 1);
      const side = Math.round((canvas.clientWidth || SIDE) * ratio);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const pen = canvas.getContext("2d");
      pen.setTransform(side / SIDE, 0, 0, side / SIDE, 0, 0);
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, SIDE, SIDE);
      pen.strokeStyle = "#10161c";
      pen.lineWidth = 13;
      pen.lineCap = pen.lineJoin = "round";
      for (const stroke of strokes) {
        pen.beginPath();
        pen.moveTo(...stroke[0]);
        for (const point of stroke) pen.lineTo(...point);
        pen.stroke();
      }
      prompt.hidden = strokes.length > 0;
      clear.disabled = !strokes.length;
      bins.querySelectorAll(".keep").forEach((button) => { button.disabled = !strokes.length; });
    }

    /** Take new strokes; a network that was trained on own classes answers while one draws. */
    function change(next) {
      strokes = next;
      paint();
      if (!fits()) return;
      const { shape } = context;
      context.set({ image: strokes.length ? normalise(strokes, shape, manner(shape, model.samples)) : null });
    }

    /** Whether the network shown has learned own classes. */
    const fits = () => model.hello?.data.own;

    /** Say what the network sees in the drawing. */
    function tell() {
      if (!fits() || !strokes.length) return say(answer, "");
      const output = context.values().get(model.description.output);
      if (!output) return undefined;
      return say(answer, `It says ${className(model.description, output.data.indexOf(Math.max(...output.data)))}.`);
    }

    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture?.(event.pointerId);
      context.slide(false);
      drawing = [point(event)];
      change([...strokes, drawing]);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drawing) return;
      drawing.push(point(event));
      change(strokes);
    });
    const stop = () => { drawing = null; };
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointercancel", stop);

    /** Draw the bins. */
    function draw() {
      fill(bins, classes.map((each, k) => {
        const keep = h("button.keep", { disabled: !strokes.length, onclick: () => { each.items.push({ strokes, image: normalise(strokes, SHAPE, how) }); strokes = []; draw(); } }, "Keep the drawing here");
        const files = h("input.unseen", { type: "file", accept: "image/*", multiple: true, onchange: () => run(null, said, () => drop(each, files.files)) });
        const box = h("section.bin", { "aria-label": `Class ${each.name}`, "data-bin": k },
          h("div.line", {}, h("input.bin-name", { value: each.name, maxlength: 40, "aria-label": `Name of class ${k + 1}`, onchange: (event) => { each.name = event.target.value.trim() || each.name; draw(); } }),
            h("span.count", {}, whole(each.items.length)),
            classes.length > 2 ? h("button.quiet", { "aria-label": `Remove class ${each.name}`, onclick: () => { classes.splice(k, 1); draw(); } }, "✕") : null),
          h("div.thumbs", {}, each.items.map((item, i) => h("button.thumb", { "aria-label": `Remove example ${i + 1} of ${each.name}`, title: "Remove", onclick: () => { each.items.splice(i, 1); draw(); } }, thumb(item)))),
          h("div.line", {}, keep, h("label.files", {}, "photos …", files)));
        box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
        box.addEventListener("dragleave", () => box.classList.remove("over"));
        box.addEventListener("drop", (event) => {
          event.preventDefault();
          event.stopPropagation();
          box.classList.remove("over");
          run(null, said, () => drop(each, event.dataTransfer.files));
        });
        return box;
      }));
      const short = classes.filter(({ items }) => items.length < ENOUGH);
      train.disabled = short.length > 0;
      say(said, short.length ? `${short.map(({ name, items }) => `${name} needs ${ENOUGH - items.length} more`).join(", ")}.` : "Ready.");
      said.classList.remove("bad");
      paint();
    }

    /** Take photos into a class. */
    async function drop(each, files) {
      const refused = [];
      for (const file of files) {
        try {
          const found = await model.upload(file);
          each.items.push({ upload: found.image, url: URL.createObjectURL(file) });
        } catch (error) {
          refused.push(error.message);
        }
      }
      draw();
      if (refused.length) throw new Error(refused[0] + (refused.length > 1 ? ` (and ${refused.length - 1} more)` : ""));
    }

    /** Give Python the classes, and play. */
    async function learn() {
      const photos = classes.some(({ items }) => items.some(({ upload }) => upload));
      if (photos) {
        for (const { items } of classes) {
          for (const item of items) item.upload ??= (await model.upload(await asFile(item))).image;
        }
        await model.send("data", { classes: classes.map(({ name, items }) => ({ name, images: items.map(({ upload }) => upload) })) });
      } else {
        const all = classes.flatMap(({ items }) => items.map(({ image }) => image));
        const data = new Float32Array(all.length * all[0].length);
        all.forEach((image, k) => data.set(image, k * image.length));
        await model.send("data", { classes: classes.map(({ name, items }) => ({ name, count: items.length })) }, new Map([["images", { shape: [all.length, ...SHAPE], data }]]));
      }
      await model.send("play", { until: EPOCHS });
      say(said, "It learns; now draw one more and see what it says.");
    }

    model.on("viewed", () => { draw(); });
    context.on("values", tell);
    new ResizeObserver(paint).observe(canvas);
    draw();
  },
};

/** Return an empty class. */
function bin(name) {
  return { name, items: [] };
}

/** Return the small picture of an example. */
function thumb({ image, url }) {
  if (url) return h("img", { src: url, alt: "" });
  return still(image, SHAPE, "ink");
}

/** Return a drawing as a picture file, to go along with photos. */
function asFile({ strokes }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PHOTO;
  const image = normalise(strokes, [1, PHOTO, PHOTO], manner([1, PHOTO, PHOTO], []));
  drawImage(canvas, image, [1, PHOTO, PHOTO], "ink");
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], "drawing.png", { type: "image/png" }))));
}
