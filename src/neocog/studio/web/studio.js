// The studio: the view, with a model whose network Python trains.

import { VIEWS, transportPanel, viewsPanel } from "./controls.js";
import { fill, h } from "./dom.js";
import { Remote } from "./remote.js";
import { read, write } from "./state.js";
import { run, shown } from "./tools.js";
import { render } from "./view.js";

const KEPT = "neocog-session"; // where a tab keeps its session: a reload comes back to it
const MOST_LINKED = 200; // epochs that a link may have trained

/** What stands in the tabs at the right; each is fetched when it is first opened. */
const TOOLS = [
  ["Weights", async () => (await import("./live.js")).weightsPanel],
  ["Gradient", async () => (await import("./ask.js")).gradientPanel],
  ["Prove it", async () => (await import("./ask.js")).provePanel],
  ["Heatmaps", async () => (await import("./ask.js")).heatmapsPanel],
  ["Mistakes", async () => (await import("./mistakes.js")).mistakesPanel],
  ["Break it", async () => (await import("./live.js")).breakPanel],
  ["Gradients and dead units", async () => (await import("./live.js")).healthPanel],
  ["Loss landscape", async () => (await import("./ask.js")).landscapePanel],
];

/** Return a panel that is fetched when one of its views is first opened. */
function later(zone, id, title, views, load) {
  return {
    zone,
    id,
    title,
    mount(el, context) {
      let wanted = true;
      const look = async () => {
        if (!wanted || !views.includes(context.model.view)) return;
        wanted = false;
        (await load()).mount(el, context);
      };
      context.model.on("viewed", look);
      look();
    },
  };
}

const settingsPanel = later("top", "settings", "", ["train"], async () => (await import("./settings.js")).settingsPanel);
const minePanel = later("left", "mine", "My classes", ["mine"], async () => (await import("./mine.js")).minePanel);

/** The panel of tools, one of them open at a time. */
const toolsPanel = {
  zone: "right",
  id: "tools",
  title: "",
  mount(el, context) {
    const { model } = context;
    const bodies = TOOLS.map(([title]) => h("div.tool", { role: "tabpanel", "aria-label": title, hidden: true, "data-tool": title }));
    const tabs = TOOLS.map(([title], k) => h("button.tab", { role: "tab", "aria-selected": "false", tabindex: "-1", onclick: () => open(k) }, title));
    const bar = h("div.tools-tabs", { role: "tablist", "aria-label": "Tools" }, tabs);
    fill(el, bar, bodies);
    const mounted = new Set();
    let now = -1;

    /** Open a tool; it is made when it is first opened. */
    async function open(k, focus = false) {
      now = k;
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(i === k));
        tab.tabIndex = i === k ? 0 : -1;
        bodies[i].hidden = i !== k;
      });
      if (focus) tabs[k].focus();
      if (!mounted.has(k)) {
        mounted.add(k);
        (await TOOLS[k][1]()).mount(bodies[k], context);
      } else model.emit("shown");
    }
    bar.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      open((now + by + TOOLS.length) % TOOLS.length, true);
      event.preventDefault();
    });
    model.on("tool", (title) => {
      const k = TOOLS.findIndex(([name]) => name === title);
      if (k >= 0) open(k);
    });
    const look = () => {
      if (!["train", "why"].includes(model.view)) return;
      if (now < 0) open(model.view === "why" ? 3 : 0);
      else model.emit("shown");
    };
    model.on("viewed", look);
    look();
  },
};

/** Return what the first message asks for: the tab's session, else what the link says. */
function wished(linked, kept) {
  if (kept) return { session: kept };
  const settings = {};
  if (linked.lr !== undefined) settings.lr = linked.lr;
  if (linked.batch !== undefined) settings.batch_size = linked.batch;
  if (linked.seed !== undefined) settings.seed = linked.seed;
  const wish = {};
  if (linked.data) wish.data = linked.data;
  if (linked.net && linked.data) wish.network = linked.net;
  if (wish.data && Object.keys(settings).length) wish.settings = settings;
  return wish;
}

/** Start the studio in the page. */
function start() {
  const el = document.getElementById("studio");
  const notice = document.getElementById("notice");
  const linked = read(location.hash);
  const store = storage();
  const kept = store.get();
  const model = new Remote(wished(linked, kept), { keep: (session) => store.set(session) });
  let view = null;
  let opening = false;
  let usual = null;

  /** Say how the connection stands, above everything. */
  model.on("connection", ({ status, text }) => {
    notice.hidden = !text;
    notice.dataset.status = status;
    const button = {
      taken: ["Take it back", () => model.retry()],
      ended: ["Try again", () => model.retry()],
      refused: ["Reload", () => location.reload()],
    }[status];
    const other = status === "taken" ? h("button", { onclick: () => { store.set(null); location.reload(); } }, "Begin a new one here") : null;
    fill(notice, h("span", {}, text), button ? h("button", { onclick: button[1] }, button[0]) : null, other);
  });

  /** Begin a lesson in a session of its own. */
  model.on("lesson", (name) => {
    store.set(null);
    location.hash = `lesson=${name}`;
    location.reload();
  });

  /** Make the second column when it is first wanted. */
  const compare = async () => {
    if (model.view !== "compare" || view.comparison) return;
    view.comparison = true;
    view.comparison = new (await import("./compare.js")).Comparison(view);
  };

  /** Open another run in a new session. */
  model.on("go", ({ run: id }) => {
    model.remote = null;
    model.wish = { run: id };
    model.socket.close();
  });

  model.view = Object.hasOwn(VIEWS, linked.view) ? linked.view : "look";
  model.on("view", (name) => {
    model.view = name;
    view.context.root.dataset.view = name;
    view.context.set({ view: name === "look" ? undefined : name });
    requestAnimationFrame(() => model.emit("viewed"));
  });

  /** Show what Python trains now. */
  model.on("now", () => view.context.set({ epoch: model.now }));
  let following;
  model.on("frame", () => {
    if (!view) return;
    if (view.state.epoch === following || following === undefined || !model.epochs.includes(view.state.epoch)) {
      view.state.epoch = model.now;
      view.redraw();
    }
    following = model.now;
  });
  model.on("preview", () => view.redraw());
  model.on("snapshot", ({ epoch }) => { if (view?.state.epoch === epoch) view.redraw(); });

  /** Return the link to the page as it stands. */
  model.link = () => {
    const { settings, network } = model.remote;
    const state = { ...view.state, data: model.hello.data.id, net: network, lr: settings.lr, batch: settings.batch_size, seed: settings.seed,
      epoch: view.state.epoch === model.now ? model.remote.epoch : view.state.epoch };
    return location.origin + location.pathname + write(state, {});
  };

  /** Draw the runs of one beginning on one chart. */
  let branches;
  model.on("state", (state) => {
    if (state.branches === branches) return; // a state that leaves them out keeps those before
    branches = state.branches;
    model.others = [...state.branches.map(({ name, rows }) => ({ name, rows })), ...(model.others ?? []).filter(({ twin }) => twin)];
    model.emit("history", model.history);
  });

  /** Keep the settings in the URL, the defaults left out. */
  model.on("state", ({ settings, network }) => {
    if (!view || !model.hello) return;
    const now = { data: model.hello.data.own ? undefined : model.hello.data.id, net: network, lr: settings.lr, batch: settings.batch_size, seed: settings.seed };
    usual ??= { data: "digits", net: now.net, lr: now.lr, batch: now.batch, seed: now.seed };
    const changes = Object.fromEntries(Object.entries(now).map(([key, value]) => [key, value === usual[key] ? undefined : value]));
    if (Object.entries(changes).some(([key, value]) => view.state[key] !== value)) view.context.set(changes);
  });

  /** Draw the page once Python has said what there is. */
  model.on("hello", async ({ known }) => {
    following = undefined;
    if (view) {
      if (!known) view.context.set({ image: null, sample: 0 });
      return;
    }
    if (opening) return;
    opening = true;
    const lesson = await lessonOf(model, linked.lesson, !kept);
    view = render({ model, el, page: true, panels: [viewsPanel, settingsPanel, minePanel, toolsPanel, transportPanel, ...lesson] });
    view.context.root.dataset.view = model.view;
    model.on("viewed", compare);
    compare();
    listenToDrops(view.context);
    globalThis.neocogStudio = { model, view };
    if (!kept && linked.epoch && !linked.lesson) model.send("play", { until: Math.min(linked.epoch, MOST_LINKED) }).catch(({ message }) => model.emit("notice", { text: message }));
  });
}

/** Return the panel of the lesson that the link names; a name that is none is said. */
async function lessonOf(model, name, begin) {
  if (!name) return [];
  const ask = (fields) => model.send("ask", { about: "lesson", lesson: name, ...fields });
  try {
    const { lessonPanel } = await import("./lessons.js");
    let { lesson } = await ask({});
    if (begin) {
      fill(document.getElementById("studio"), h("p.waiting", {}, "neocog studio: the network of the lesson is trained …"));
      await prepared(model, lesson.preset);
      ({ lesson } = await ask({}));
    }
    // Python has the network as it is now; of another epoch, the page checks.
    return [lessonPanel(lesson, async (step, answer, context) => {
      if (context.state.epoch !== model.now) return null;
      await shown(context);
      return ask({ step, answer });
    })];
  } catch ({ message }) {
    model.emit("notice", { text: message });
    return [];
  }
}

/** Train a lesson's network as it says. */
async function prepared(model, { data, network, settings, epochs, images }) {
  const few = images === null ? {} : { images_per_class: images };
  if (images !== null || data !== model.hello.data.id) await model.send("data", { source: data, ...few });
  await model.send("set", { network, settings });
  const done = new Promise((resolve) => {
    const off = model.on("state", ({ epoch, playing }) => {
      if (epoch < epochs || playing) return;
      off();
      resolve();
    });
  });
  await model.send("play", { until: epochs });
  return done;
}

/** Take pictures dropped anywhere: the first is shown to the network. */
function listenToDrops(context) {
  const { model, root } = context;
  const said = root.querySelector(".transport ~ .status") ?? root.querySelector(".status");
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    run(null, said, async () => {
      const { image } = await model.upload(file);
      const answer = await model.send("image", { upload: image });
      const { data } = answer.arrays.get("image");
      context.slide(false);
      context.set({ image: data });
      say(said, `${file.name} is shown.`);
    });
  });
}

/** Return where this tab keeps its session; nothing is kept where the browser forbids it. */
function storage() {
  const safely = (work) => {
    try {
      return work();
    } catch {
      return null;
    }
  };
  return {
    get: () => safely(() => sessionStorage.getItem(KEPT)),
    set: (session) => safely(() => (session ? sessionStorage.setItem(KEPT, session) : sessionStorage.removeItem(KEPT))),
  };
}

start();
