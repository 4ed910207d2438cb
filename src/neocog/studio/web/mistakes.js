// The board of mistakes: confusion matrix, the surest wrong answers first; open one, give it its right label, retrain.

import { fill, h, say, whole } from "./dom.js";
import { className, newest, picture, run, share, visible } from "./tools.js";

/** The panel of mistakes. */
export const mistakesPanel = { title: "Mistakes", mount };

/** Fill the panel, and again after each epoch while it is seen. */
function mount(el, context) {
  const { model } = context;
  let part = "held_out";
  let cell = null;
  const status = h("p.status", { role: "status" });
  const matrix = h("div.confusion");
  const board = h("div.board");
  const choice = h("select", { "aria-label": "Images", onchange: () => { part = choice.value; cell = null; refresh(); } },
    h("option", { value: "held_out" }, "held-out images"), h("option", { value: "train" }, "training images"));
  const retrain = h("button.primary", { hidden: true, onclick: () => model.send("play").catch((error) => say(status, error.message)) }, "Train on with the new labels");
  fill(el, h("div.line", {}, choice), status, matrix, board, retrain);

  /** Ask Python and draw. */
  const refresh = newest(async () => {
    if (!visible(el) || model.status !== "open") return;
    await run(null, status, async () => {
      const [confusion, mistakes] = await Promise.all([
        model.send("measure", { what: "confusion", part }), model.send("measure", { what: "mistakes", part, count: 60 })]);
      say(status, summary(confusion, mistakes));
      drawMatrix(confusion);
      drawBoard(mistakes);
    });
  });

  /** Draw the matrix; a click on a cell shows only its images. */
  function drawMatrix({ matrix: counts, class_names: names, recall, ...several }) {
    if (!counts) return drawLabels(names, recall, several);
    const labels = names ?? counts.map((_, k) => String(k));
    const most = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => i !== j)));
    const press = (i, j) => { cell = cell && cell[0] === i && cell[1] === j ? null : [i, j]; refresh(); };
    fill(matrix, h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Confusion matrix" }, h("table.matrix", {},
      h("caption", {}, "rows: what it is; columns: what the network says"),
      h("thead", {}, h("tr", {}, h("td"), labels.map((name) => h("th", { scope: "col", title: name }, name)), h("th", { scope: "col" }, "recall"))),
      h("tbody", {}, counts.map((row, i) => h("tr", {}, h("th", { scope: "row" }, labels[i]), row.map((count, j) => {
        const picked = cell && cell[0] === i && cell[1] === j;
        if (i === j || !count) return h(i === j ? "td.hit" : "td.none", {}, count ? String(count) : "·");
        const button = h(picked ? "button.cell.on" : "button.cell", { "aria-pressed": String(Boolean(picked)),
          "aria-label": `${count} of ${labels[i]} called ${labels[j]}`, onclick: () => press(i, j) }, String(count));
        button.style.setProperty("--share", String(0.15 + (0.85 * count) / most));
        return h("td", {}, button);
      }), h("td.recall", {}, share(recall?.[i]))))))));
  }

  /** Draw how each of several labels is told. */
  function drawLabels(names, recall, { precision, f1, having }) {
    const columns = [["images", having.map(whole)], ["recall", recall.map(share)], ["precision", precision.map(share)], ["F1", f1.map(share)]];
    fill(matrix, h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Scores of the labels" }, h("table.matrix", {},
      h("caption", {}, "each label on its own"),
      h("thead", {}, h("tr", {}, h("td"), columns.map(([title]) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, names.map((name, k) => h("tr", {}, h("th", { scope: "row" }, name), columns.map(([, values]) => h("td", {}, values[k]))))))));
  }

  /** Draw the images that are classified wrongly, the surest first. */
  function drawBoard({ mistakes, arrays }) {
    const { shape, data } = arrays.get("images");
    const size = shape.slice(1).reduce((a, b) => a * b, 1);
    const items = mistakes.map((mistake, k) => ({ ...mistake, image: data.slice(k * size, (k + 1) * size) }))
      .filter((mistake) => !cell || (mistake.true === cell[0] && mistake.predicted === cell[1]));
    fill(board, items.map((item) => h("figure.mistake", {},
      h("button.thumb", { "aria-label": `Open ${className(model, item.true)} called ${className(model, item.predicted)}`, onclick: () => openImage(item) },
        picture(item.image, shape.slice(1), model.description.tone)),
      h("figcaption", {}, h("span", {}, `${className(model, item.true)} → `, h("b", {}, className(model, item.predicted))),
        h("small", {}, share(item.probability)), relabel(item)))));
  }

  /** Return the control that gives an image another label. */
  function relabel(item) {
    const count = model.hello.data.class_names?.length ?? 10;
    if (Array.isArray(item.true)) return labels(item, count);
    const select = h("select", { "aria-label": `Label of ${item.name}`, onchange: () => run(select, status, async () => {
      await model.send("data", { relabel: [{ part, index: item.index, label: Number(select.value) }] });
      retrain.hidden = false;
      say(status, `${item.name} is now ${className(model, Number(select.value))}.`);
    }) }, Array.from({ length: count }, (_, k) => h("option", { value: k, selected: k === item.true }, className(model, k))));
    return select;
  }

  /** Return the controls of an image's labels, one a label. */
  function labels(item, count) {
    const boxes = Array.from({ length: count }, (_, k) => h("input", { type: "checkbox", checked: item.true.includes(k), onchange: ({ target }) => run(target, status, async () => {
      const label = boxes.flatMap(({ checked }, i) => (checked ? [i] : []));
      await model.send("data", { relabel: [{ part, index: item.index, label }] });
      retrain.hidden = false;
      say(status, `${item.name} is now ${className(model, label)}.`);
    }) }));
    return h("details.more", {}, h("summary", {}, "Labels"), boxes.map((box, k) => h("label", {}, box, ` ${className(model, k)}`)));
  }

  /** Show an image in the network. */
  function openImage(item) {
    context.set({ image: item.image, label: item.true, name: item.name });
  }

  model.on("row", refresh);
  model.on("hello", refresh);
  model.on("tools", refresh);
  refresh();
}

/** Say in a sentence how many are wrong. */
function summary({ accuracy, interval }, { total, count }) {
  const between = interval ? ` (${share(interval[0])} to ${share(interval[1])} with 95 % confidence)` : "";
  return `${whole(total)} of ${whole(count)} images are classified wrongly: accuracy ${share(accuracy)}${between}.`;
}
