// The controls that are always there: views, save and share above; play, step, speed, rewind and branch below.

import { fill, h, number, say } from "./dom.js";
import { run, share } from "./tools.js";

/** The views: one page with zones open or shut. */
export const VIEWS = {
  look: "Look",
  train: "Train",
  why: "Why",
  compare: "Compare",
  mine: "My classes",
};
const SPEEDS = [["as fast as it can", null], ["60 batches a second", 60], ["10 a second", 10], ["3 a second", 3], ["1 a second", 1]];
const COMPILING = "Python makes a fast program of this network, once; then training starts …";

/** The bar above: views, save, share. */
export const viewsPanel = {
  zone: "top",
  id: "views",
  title: "",
  mount(el, context) {
    const { model } = context;
    const tabs = Object.entries(VIEWS).map(([name, title]) => h("button.tab", { "data-view": name, onclick: () => model.emit("view", name) }, title));
    const said = h("p.status", { role: "status" });
    const share_ = h("button", { onclick: copy, title: "Copy a link to this page as it stands: data, network, settings, epoch, number" }, "Share");
    const menu = h("details.menu", {}, h("summary", {}, "Save"), h("div.menu-items", {},
      item("Save the run", "a run directory like any other", "run"),
      item("Living page", "one HTML file with the network inside", "page"),
      item("Report", "curves, mistakes and filters as a page", "report"),
      h("label.open-run", {}, "Open a run", runs())));
    const course = h("div.menu-items");
    const lessons = h("details.menu", {}, h("summary", {}, "Lessons"), course);
    fill(course, model.hello.lessons.map(({ id, name }) => h("button.item", { onclick: () => model.emit("lesson", id) }, name)));
    fill(el, h("nav.tabs", { "aria-label": "Views" }, tabs), h("div.actions", {}, lessons, menu, share_), said);

    /** Return a button of the menu that saves something. */
    function item(title, what, kind) {
      const button = h("button.item", { "data-save": kind, onclick: () => run(button, said, async () => {
        const answer = await model.send("save", { what: kind });
        menu.open = false;
        if (answer.url) {
          const link = h("a", { href: answer.url, download: "" }, answer.path);
          fill(said, `${title}: `, link);
          link.click();
        } else say(said, `Saved in ${answer.path}.`);
      }) }, h("b", {}, title), h("small", {}, what));
      return button;
    }

    /** Return the choice of runs that are there. */
    function runs() {
      const select = h("select", { "aria-label": "Open a run", onchange: () => { if (select.value) model.emit("go", { run: select.value }); } });
      const list = () => fill(select, h("option", { value: "" }, "choose …"), (model.hello?.runs ?? []).map(({ id, name }) => h("option", { value: id }, name)));
      model.on("hello", list);
      list();
      return select;
    }

    /** Copy the link. */
    async function copy() {
      const link = model.link();
      try {
        await navigator.clipboard.writeText(link);
        say(said, "The link is copied: who opens it in a studio sees data, network, settings and place as here.");
      } catch {
        fill(said, "Copy this link: ", h("input.link", { value: link, readonly: true, "aria-label": "Link", onfocus: (event) => event.target.select() }));
      }
    }

    addEventListener("pointerdown", ({ target }) => [menu, lessons].forEach((each) => { if (!each.contains(target)) each.open = false; }));
    const mark = () => tabs.forEach((tab) => {
      if (tab.dataset.view === model.view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    });
    model.on("viewed", mark);
    model.on("notice", ({ text }) => say(said, text));
    mark();
  },
};

/** Write a number as people type it. */
export function rounded(value) {
  return String(Number(Number(value).toPrecision(3)));
}

/** Play, step, speed, rewind and branch; where training stands. */
export const transportPanel = {
  zone: "bottom",
  id: "transport",
  title: "",
  mount(el, context) {
    const { model } = context;
    const status = h("p.status", { role: "status" });
    const where = h("p.stand");
    const all = (kind, fields) => Promise.all([model, ...(model.twins ?? [])].map((each) => each.send(kind, fields)));
    const play = h("button.primary.play-training", { onclick: () => run(null, status, async () => {
      context.slide(false);
      model.emit("now");
      await all(model.remote?.playing ? "pause" : "play", {});
      say(status, "");
    }) }, h("span.icon", { "aria-hidden": "true" }), h("span.word", {}, "Play"));
    const step = (unit, text) => {
      const button = h("button", { "data-step": unit, onclick: () => run(button, status, async () => {
        model.emit("now");
        await all("step", { unit, count: 1 });
      }) }, text);
      return button;
    };
    const speed = h("select", { "aria-label": "Speed", onchange: () => run(null, status, () => all("speed", { batches: SPEEDS[speed.selectedIndex][1] })) },
      SPEEDS.map(([name]) => h("option", {}, name)));
    const rewind = h("button", { onclick: () => run(rewind, status, async () => {
      const { answer } = await both("restart", { epoch: 0 });
      model.emit("now");
      say(status, `Back at the beginning, epoch ${answer.epoch}.`);
    }) }, "Rewind");
    const rate = h("input.branch-rate", { type: "text", inputmode: "decimal", id: "branch-rate" });
    const go = h("button.primary", { onclick: () => run(go, status, branch) }, "Branch");
    const from = h("span");
    const form = h("div.branch-form", { hidden: true }, from, h("label", { for: "branch-rate" }, "with the learning rate"), rate, go);
    const open = h("button", { "aria-expanded": "false", onclick: () => {
      form.hidden = !form.hidden;
      open.setAttribute("aria-expanded", String(!form.hidden));
      rate.value = rounded(model.remote.settings.lr);
      mark();
    } }, "Branch …");
    const now = h("button.quiet", { hidden: true, onclick: () => model.emit("now") }, "Back to now");
    fill(el, h("div.transport", {}, play, step("batch", "Step a batch"), step("epoch", "Step an epoch"), speed, rewind, open, now), where, form, status);

    /** Send to this session and to the one compared with. */
    async function both(kind, fields) {
      const [answer] = await all(kind, fields);
      return { answer };
    }

    /** Return the epoch shown if it is stored, else the last that is. */
    function epoch() {
      const stored = model.remote?.epochs ?? [];
      return stored.includes(context.state.epoch) ? context.state.epoch : stored.at(-1) ?? 0;
    }

    /** Go on from a stored epoch with another rate; the curve so far stays on the chart. */
    async function branch() {
      const lr = Number(rate.value.replace(",", "."));
      if (!Number.isFinite(lr) || rate.value.trim() === "") throw new Error(`“${rate.value}” is not a number: a learning rate is one such as 0.05.`);
      const at = epoch();
      const answer = await model.send("branch", { epoch: at, settings: { lr }, name: `rate ${rounded(model.remote.settings.lr)}` });
      form.hidden = true;
      open.setAttribute("aria-expanded", "false");
      model.emit("now");
      say(status, `Branched from epoch ${answer.epoch}${answer.exact ? "" : " (kept in half precision)"} with the rate ${rounded(lr)}.`);
      await model.send("play");
    }

    /** Say where training stands. */
    function mark() {
      const { remote, latest } = model;
      if (!remote) return;
      const { playing } = remote;
      play.classList.toggle("playing", playing);
      say(play.querySelector(".word"), playing ? "Pause" : "Play");
      speed.selectedIndex = Math.max(0, SPEEDS.findIndex(([, batches]) => batches === remote.speed));
      rewind.disabled = !remote.epoch && !remote.batch && !latest?.epoch && !latest?.batch;
      say(from, `From epoch ${epoch()}`);
      const held = model.history.val_accuracy?.at(-1);
      const parts = [`epoch ${latest?.epoch ?? remote.epoch}`, `batch ${latest?.batch ?? remote.batch} of ${remote.batches}`];
      if (latest?.loss !== null && latest?.loss !== undefined) parts.push(`loss ${number(latest.loss)}`);
      if (Number.isFinite(held)) parts.push(`held out ${share(held)}`);
      const fresh = !playing && !(latest?.epoch || latest?.batch || remote.epoch > 0);
      say(where, fresh ? "It knows nothing yet: press Play, and watch it learn." : parts.join(" · "));
      now.hidden = context.state.epoch === model.now;
    }
    let slow = 0;
    /** Say what is going on where the first step takes long. */
    const patience = () => {
      clearTimeout(slow);
      slow = 0;
      if (status.textContent === COMPILING) say(status, "");
    };
    let problem = "";
    model.on("state", (state) => {
      if (state.playing && !slow && !state.epoch && !model.latest?.batch) slow = setTimeout(() => say(status, COMPILING), 1500);
      if (!state.playing) patience();
      if (state.problem !== problem) {
        problem = state.problem;
        status.classList.toggle("bad", Boolean(problem));
        say(status, problem);
      }
      mark();
    });
    model.on("frame", ({ header }) => {
      if (header.batch || header.epoch) patience();
      mark();
    });
    context.on("epoch", mark);
    mark();
  },
};
