// The living page: the model lies in the file itself.

import { h } from "./dom.js";
import { Model, fromText, unpack } from "./model.js";
import { render } from "./view.js";

/** Return the model that page.py has packed, and its header. */
export function unpackModel(bytes) {
  const { header, arrays } = unpack(bytes);
  const { description, epochs, samples, history, title, notes, precisions } = header;
  const frames = new Map(epochs.map((epoch) => [epoch, new Map()]));
  const pictures = new Map();
  for (const [name, array] of arrays) {
    const [kind, a, ...rest] = name.split("/");
    if (kind === "w") frames.get(Number(a)).set(rest.join("/"), array);
    if (kind === "m") {
      const key = `${a}/${rest[0]}`;
      if (!pictures.has(key)) pictures.set(key, new Map());
      pictures.get(key).set(rest.slice(1).join("/"), array);
    }
  }
  const images = arrays.get("images");
  const size = description.input.reduce((x, y) => x * y, 1);
  const model = new Model({
    title,
    notes,
    description,
    history,
    frames,
    start: header.start,
    sample: header.sample,
    heldOut: header.held_out,
    measured: header.measured,
    epochs,
    pictures,
    precisions: new Map(precisions),
    samples: samples.map((sample, k) => ({ ...sample, image: images.data.slice(k * size, (k + 1) * size) })),
  });
  return { model, header };
}

/** Read the model from the page, draw it with `panels(header)`; whatever goes wrong is said in the page. */
export function start(el, data, panels = () => []) {
  try {
    const { model, header } = unpackModel(fromText(data.textContent));
    return render({ model, el, panels: panels(header), page: true, begin: header.begin });
  } catch (error) {
    el.replaceChildren(h("p.problem", { role: "alert" }, `This page cannot be shown: ${error.message}. Write it again with “neocog page”.`));
    return undefined;
  }
}
