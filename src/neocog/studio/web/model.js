// The one thing that a view is given. A host fills it: a WebSocket, a notebook's comm, or the file itself.

/** What the view shows: a described network, its weights at some epochs, images, and what the host can do. */
export class Model {
  /** Take any of the fields below; `frames` maps an epoch to its arrays, `pictures` "epoch/sample" to its maps. */
  constructor(fields = {}) {
    this.title = "neocog";
    this.description = null;
    this.samples = [];
    this.epochs = [];
    this.start = undefined;
    this.sample = 0;
    this.history = {};
    this.can = {};
    this.notes = [];
    this.frames = new Map();
    this.pictures = new Map();
    this.precisions = new Map();
    this.handlers = new Map();
    Object.assign(this, fields);
    if (!this.epochs.length) this.epochs = [...this.frames.keys()].sort((a, b) => a - b);
  }

  /** Return the arrays of an epoch, undefined if they are not here. */
  weights(epoch) {
    return this.frames.get(epoch);
  }

  /** Return the maps of a sample (or of another image) that were computed elsewhere, undefined if they are not here. */
  maps(epoch, sample, image = null) {
    return image ? undefined : this.pictures.get(`${epoch}/${sample}`);
  }

  /** Return the precision in which an epoch's weights are kept: "float32" or "float16". */
  precision(epoch) {
    return this.precisions.get(epoch) ?? "float32";
  }

  /** Keep the weights of an epoch, and tell the view: event "epochs". */
  addFrame(epoch, arrays) {
    this.frames.set(epoch, arrays);
    this.epochs = [...this.frames.keys()].sort((a, b) => a - b);
    this.emit("epochs", { epoch });
  }

  /** Replace fields and tell the view to draw itself anew: event "model". */
  change(fields) {
    Object.assign(this, fields);
    this.emit("model", fields);
  }

  /** Send a command to the host; a page without one refuses it. */
  send(kind) {
    return Promise.reject(new Error(`"${kind}" needs neocog itself: this page is a file. Start "neocog studio".`));
  }

  /** Call a handler on each event of a kind; return a function that ends it. */
  on(kind, handler) {
    if (!this.handlers.has(kind)) this.handlers.set(kind, new Set());
    this.handlers.get(kind).add(handler);
    return () => this.handlers.get(kind)?.delete(handler);
  }

  /** Tell the handlers of a kind. */
  emit(kind, detail) {
    for (const handler of [...(this.handlers.get(kind) ?? [])]) handler(detail);
  }
}

/** Return the values of float16 bits. */
export function halves(bits) {
  const found = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = bits[i] & 0x8000 ? -1 : 1;
    const exponent = (bits[i] >> 10) & 31;
    const fraction = bits[i] & 1023;
    if (exponent === 31) found[i] = fraction ? NaN : sign * Infinity;
    else found[i] = sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  }
  return found;
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

/** Return the bytes of a text that page.py has written: base 85, five characters for four bytes. */
export function fromText(text) {
  const digits = text.trim(), groups = Math.ceil(digits.length / 5);
  const codes = new TextEncoder().encode(digits.padEnd(5 * groups, "~")), valueOf = new Uint8Array(128);
  for (let k = 0; k < 85; k++) valueOf[DIGITS.charCodeAt(k)] = k;
  const bytes = new DataView(new ArrayBuffer(4 * groups));
  for (let k = 0, i = 0; k < groups; k++) {
    let value = 0;
    for (const end = i + 5; i < end; i++) value = 85 * value + valueOf[codes[i]];
    bytes.setUint32(4 * k, value);
  }
  return new Uint8Array(bytes.buffer, 0, Math.floor((4 * digits.length) / 5));
}

const READ = {
  f4: (buffer, at, count) => new Float32Array(buffer, at, count),
  f2: (buffer, at, count) => halves(new Uint16Array(buffer, at, count)),
  u1: (buffer, at, count) => Float32Array.from(new Uint8Array(buffer, at, count), (k) => Math.fround(k / 255)),
};

/** Read what page.py packs: a header, then arrays of float32 ("f4"), float16 ("f2") or k / 255 ("u1"), each when it is used. */
export function unpack(bytes) {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const arrays = new Map();
  let next = 4 + Math.ceil(length / 4) * 4;
  for (const [name, shape, kind] of header.arrays) {
    const at = next, count = shape.reduce((a, b) => a * b, 1);
    let data;
    arrays.set(name, {
      shape,
      get data() {
        return (data ??= READ[kind](bytes.buffer, at, count));
      },
    });
    next += Math.ceil((count * { f4: 4, f2: 2, u1: 1 }[kind]) / 4) * 4;
    if (next > bytes.length) throw new Error("the file is cut off: its data are incomplete");
  }
  return { header, arrays };
}
