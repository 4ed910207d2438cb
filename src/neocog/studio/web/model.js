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

/** Return the bytes of a base64 text. */
export function fromBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Read what page.py packs: a header, then arrays of float32 ("f4"), float16 ("f2") or k / 255 ("u1"). */
export function unpack(bytes) {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const arrays = new Map();
  let at = 4 + Math.ceil(length / 4) * 4;
  for (const [name, shape, kind] of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    let data;
    if (kind === "f4") data = new Float32Array(bytes.buffer, at, count);
    else if (kind === "f2") data = halves(new Uint16Array(bytes.buffer, at, count));
    else data = Float32Array.from(bytes.subarray(at, at + count), (k) => Math.fround(k / 255));
    at += Math.ceil((count * { f4: 4, f2: 2, u1: 1 }[kind]) / 4) * 4;
    if (at > bytes.length) throw new Error("the file is cut off: its data are incomplete");
    arrays.set(name, { shape, data });
  }
  return { header, arrays };
}
