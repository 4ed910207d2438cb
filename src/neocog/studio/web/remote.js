// A model whose network is trained by Python, at the other end of a WebSocket that may drop and come back.

import { decode, encode } from "./messages.js";
import { Model } from "./model.js";

const VERSION = 1;
const WAITS = [200, 500, 1000, 2000, 4000]; // milliseconds before each new try to connect
const TAKEN = 4001;
const ENDED = 4002;
const REFUSED = 4003;

/** A session of the studio: emits hello, state, row, frame, snapshot and "connection" ({status, text}). */
export class Remote extends Model {
  /** Take what the first message asks for ({session} or {run} or {data, network, settings}), and a fallback. */
  constructor(wish = {}, { url = address(), keep = () => {} } = {}) {
    super({ can: { train: true, ask: true, data: true } });
    this.wish = wish;
    this.url = url;
    this.keep = keep;
    this.remote = null;
    this.hello = null;
    this.pending = new Map();
    this.asked = 0;
    this.tries = 0;
    this.latest = undefined;
    this.drawing = this.owed = false; // whether the newest frame is not drawn yet, and the next not asked for
    this.closed = false;
    this.delays = [];
    this.connect();
  }

  /** Open the socket; a new one after each that dropped. */
  connect() {
    if (this.closed) return;
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const wish = this.remote ? { session: this.remote.session } : this.wish;
      this.ask("open", { version: VERSION, ...wish }).then(
        (answer) => {
          this.tries = 0;
          this.keep(answer.session);
          this.tell("open", "");
        },
        (error) => this.refused(error, wish),
      );
    };
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = ({ code }) => this.dropped(socket, code);
  }

  /** Begin anew where a session or a run is not there any more; else say why. */
  refused(error, wish) {
    if (wish.session || wish.run) {
      this.remote = null;
      this.wish = {};
      this.keep(null);
      this.emit("notice", { text: `${error.message} A new session begins.` });
      this.socket?.close();
    } else if (Object.keys(wish).length) {
      this.wish = {};
      this.emit("notice", { text: error.message });
      this.socket?.close();
    } else {
      this.tell("refused", error.message);
    }
  }

  /** Say in the page how the connection stands. */
  tell(status, text) {
    this.status = status;
    this.emit("connection", { status, text });
  }

  /** Refuse what waits for an answer, and connect again unless another page or the server ended it. */
  dropped(socket, code) {
    if (socket !== this.socket || this.closed) return;
    for (const { reject } of this.pending.values()) reject(new Error("The connection was lost before the answer came."));
    this.pending.clear();
    if (code === TAKEN) return this.tell("taken", "This session goes on in another tab.");
    if (code === REFUSED) {
      return this.tell("refused", this.problem ?? "Page and server are of different versions. Reload the page.");
    }
    if (code === ENDED) this.ended = true;
    const saved = this.remote?.saved ? ` What was trained is saved in ${this.remote.saved}.` : "";
    if (this.ended) {
      this.tell("ended", `The server has stopped.${saved} Start neocog studio again to go on; what you see here stays.`);
    } else {
      this.tell("lost", "The connection was lost; trying again …");
    }
    const wait = WAITS[Math.min(this.tries++, WAITS.length - 1)];
    if (!this.ended) this.timer = setTimeout(() => this.connect(), wait);
  }

  /** Connect at once, as from a button. */
  retry() {
    clearTimeout(this.timer);
    this.ended = false;
    this.connect();
  }

  /** Close for good. */
  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close(1000);
  }

  /** Send a command; the promise holds the answer, with `arrays`, or is refused by a sentence. */
  send(kind, fields = {}, arrays = undefined) {
    if (!this.ready) {
      return Promise.reject(new Error("There is no connection to neocog now."));
    }
    return this.ask(kind, fields, arrays);
  }

  /** Write a message to the socket. */
  ask(kind, fields, arrays, answered = true) {
    const message = { kind, ...fields };
    if (!answered) {
      this.socket.send(JSON.stringify(message));
      return Promise.resolve();
    }
    message.id = ++this.asked;
    const began = performance.now();
    this.socket.send(arrays ? encode(message, arrays) : JSON.stringify(message));
    return new Promise((resolve, reject) => {
      this.pending.set(message.id, { resolve, reject, began });
    });
  }

  /** Take a message: text, or binary with arrays. */
  receive(data) {
    const { header, arrays } = typeof data === "string"
      ? { header: JSON.parse(data), arrays: new Map() } : decode(data);
    const take = this[`on_${header.kind}`];
    if (take) take.call(this, header, arrays);
  }

  /** Resolve what was asked. */
  on_answer(header, arrays) {
    const waits = this.pending.get(header.to);
    this.pending.delete(header.to);
    if (waits) {
      this.delays.push(performance.now() - waits.began);
      if (this.delays.length > 500) this.delays.shift();
      waits.resolve({ ...header, arrays });
    }
  }

  /** Refuse what was asked, or tell it where nothing was. */
  on_error({ to, text }) {
    const waits = this.pending.get(to);
    this.pending.delete(to);
    this.problem = text;
    if (waits) waits.reject(new Error(text));
    else this.emit("notice", { text });
  }

  /** Take a network and its data: the first message, and again when one of them changes. */
  on_hello(header, arrays) {
    if (header.version !== VERSION) {
      this.problem = `The server speaks version ${header.version} of the protocol, this page ${VERSION}. Reload the page.`;
      this.socket.close();
      this.closed = true;
      return this.tell("refused", this.problem);
    }
    const { shape, data } = arrays.get("samples") ?? { shape: [0], data: new Float32Array() };
    const size = shape.slice(1).reduce((a, b) => a * b, 1);
    const known = this.hello && header.data.id === this.hello.data.id && header.samples.length === this.samples.length
      && this.samples.every(({ image }, k) => image.every((value, i) => value === data[k * size + i]));
    const samples = header.samples.map((sample, k) => ({ ...sample, image: known ? this.samples[k].image : data.slice(k * size, (k + 1) * size) }));
    const again = this.hello !== null;
    this.hello = header;
    this.frames = new Map();
    this.pictures = new Map();
    this.epochs = [];
    this.sought = new Set();
    this.latest = this.live = this.now = this.told = this.mapped = this.mapping = undefined;
    this.change({ title: "neocog", description: header.description, samples, notes: header.data.notes ?? [] });
    this.want();
    this.emit("hello", { header, again, known });
  }

  /** Take where training stands. */
  on_state(header) {
    this.remote = { branches: [], ...this.remote, ...header };
    this.count();
    this.emit("state", this.remote);
  }

  /** Forget the parameters of stored epochs: training went back, and another way on. */
  forget() {
    this.frames = new Map();
    this.sought = new Set();
  }

  /** List the epochs that can be shown: those stored, and now. */
  count() {
    const { epochs, batches } = this.remote ?? { epochs: [], batches: 1 };
    const before = this.epochs.join();
    this.now = this.latest ? Math.round(100 * (this.latest.epoch + this.latest.batch / Math.max(1, batches))) / 100 : undefined;
    this.epochs = [...new Set([...epochs, ...(this.now === undefined ? [] : [this.now])])].sort((a, b) => a - b);
    if (this.epochs.join() !== before) this.emit("epochs", {});
  }

  /** Take new rows of the history, as columns. */
  on_row({ rows, anew }) {
    if (anew) this.forget();
    this.rows = anew || !this.rows ? [] : this.rows;
    this.history = columns(rows, this.rows.length, this.history);
    this.rows.push(...rows);
    this.emit("row", this.history);
    this.emit("history", this.history);
  }

  /** Show the newest parameters; while the page draws these, the next are on their way, and no more than that. */
  on_frame(header, arrays) {
    this.latest = header;
    this.live = arrays;
    this.count();
    this.emit("frame", { header, arrays });
    if (this.drawing) {
      this.owed = true;
      return;
    }
    this.drawing = true;
    this.want();
    requestAnimationFrame(() => {
      this.drawing = false;
      if (this.owed) this.want();
      this.owed = false;
    });
  }

  /** Whether messages can be sent now. */
  get ready() {
    return this.status === "open" && this.socket?.readyState === WebSocket.OPEN;
  }

  /** Ask for the next frame, or for a stored epoch. */
  want(fields = {}) {
    if (this.ready) this.ask("want", fields, undefined, false);
  }

  /** Keep the parameters of a stored epoch. */
  on_snapshot({ epoch, exact }, arrays) {
    this.precisions.set(epoch, exact ? "float32" : "float16");
    this.frames.set(epoch, arrays);
    this.emit("snapshot", { epoch });
  }

  /** Return the parameters of an epoch; those that are not here are asked for, once. */
  weights(epoch) {
    if (epoch === this.now || this.frames.size + this.epochs.length === 0) return this.live;
    const here = this.frames.get(epoch);
    if (!here && this.ready && !this.sought.has(epoch)) {
      this.sought.add(epoch);
      this.want({ epoch });
    }
    return here;
  }

  /** Return the maps of an image for a network that the page does not compute; Python is asked, and says it soon. */
  maps(epoch, sample, image) {
    const shown = image ?? this.samples[sample]?.image;
    if (!shown) return undefined;
    const place = `${this.latest?.tick}/${Array.prototype.join.call(shown, ",")}`;
    if (this.mapped?.place === place) return this.mapped.arrays;
    if (this.ready && this.mapping !== place) {
      this.mapping = place;
      const given = new Map([["image", { shape: this.description.input, data: Float32Array.from(shown) }]]);
      this.send("image", {}, given).then(({ arrays }) => {
        arrays.delete("image");
        this.mapped = { place, arrays };
        if (this.mapping === place) this.emit("preview", {});
      }, ({ message }) => this.emit("notice", { text: message }));
    }
    return this.mapped?.arrays;
  }

  /** Give Python a picture file; the promise holds its id and size. */
  async upload(file) {
    const query = new URLSearchParams({ session: this.remote?.session ?? "", name: file.name });
    const most = this.hello?.limits?.upload_bytes ?? Infinity;
    if (file.size > most) throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB; a picture may have ${Math.round(most / 1e6)} MB.`);
    const response = await fetch(`upload?${query}`, { method: "POST", body: file }).catch(() => {
      throw new Error("There is no connection to neocog now.");
    });
    const found = await response.json().catch(() => ({ error: `${file.name} was refused (${response.status}).` }));
    if (found.error) throw new Error(found.error);
    return found;
  }

  /** Show a changed array at once, before Python has it. */
  preview(name, array) {
    this.live = new Map(this.live).set(name, array);
    this.emit("preview", { name });
  }

  /** Return a promise of the parameters of the first frame after a tick. */
  frameAfter(tick) {
    if (this.latest && this.latest.tick !== tick) return Promise.resolve(this.live);
    return new Promise((resolve) => {
      const off = this.on("frame", ({ header, arrays }) => {
        if (header.tick === tick) return;
        off();
        resolve(arrays);
      });
    });
  }
}

/** Return the address of the socket beside the page. */
export function address() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
}

/** Add rows of the history to columns that hold `before` rows, none if it begins; a missing number is NaN. */
export function columns(rows, before = 0, history = {}) {
  const found = before ? { ...history } : {};
  for (const name of new Set([...Object.keys(found), ...rows.flatMap(Object.keys)])) {
    const column = (found[name] ??= Array(before).fill(NaN));
    for (const row of rows) column.push(row[name] ?? NaN);
  }
  return found;
}
