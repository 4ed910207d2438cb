// What is shown, in the hash of the URL: readable keys, defaults left out, unknown keys ignored, nonsense dropped.

const word = {
  read: (text) => (/^[\p{L}\p{N}_.:-]{1,64}$/u.test(text) ? text : undefined),
  write: String,
};

const words = {
  read: (text) => text.split(",").filter((part) => word.read(part) !== undefined).slice(0, 64),
  write: (list) => list.join(","),
};

/** Return how a number is read: clamped to a range; what is no number is dropped. */
const within = (low, high, whole) => ({
  read: (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isFinite(value)) return undefined;
    const clamped = Math.min(high, Math.max(low, value));
    return whole ? Math.round(clamped) : clamped;
  },
  write: String,
});

const place = {
  read: (text) => {
    const cut = text.lastIndexOf(":");
    const index = text.slice(cut + 1).split(",");
    if (cut < 1 || cut > 100 || index.length > 3 || !index.every((part) => /^\d{1,6}$/.test(part))) return undefined;
    return { node: text.slice(0, cut), index: index.map(Number) };
  },
  write: ({ node, index }) => `${node}:${index.join(",")}`,
};

/** The keys, and how each is read and written; a key that is not here is ignored. */
export const KEYS = {
  view: word,
  data: word,
  net: word,
  lr: within(0, 1000, false),
  batch: within(1, 65536, true),
  seed: within(0, 2 ** 31 - 1, true),
  epoch: within(0, 1e6, true),
  sample: within(0, 1e6, true),
  at: place,
  open: words,
  hide: words,
  lesson: word,
  step: within(1, 99, true),
};

/** Return what a hash says: only known keys, only sensible values. */
export function read(hash) {
  const found = {};
  for (const part of hash.replace(/^#/, "").slice(0, 4000).split("&")) {
    const cut = part.indexOf("=");
    if (cut < 1) continue;
    const key = part.slice(0, cut);
    if (!Object.hasOwn(KEYS, key)) continue;
    let text;
    try {
      text = decodeURIComponent(part.slice(cut + 1));
    } catch {
      continue;
    }
    const value = KEYS[key].read(text);
    if (value !== undefined) found[key] = value;
  }
  return found;
}

/** Return the hash of a state; what equals the defaults is left out. */
export function write(state, defaults = {}) {
  const parts = [];
  for (const [key, { write: text }] of Object.entries(KEYS)) {
    const value = state[key];
    if (value === undefined || value === null || (Array.isArray(value) && !value.length)) continue;
    const written = text(value);
    const usual = defaults[key] === undefined || defaults[key] === null ? undefined : text(defaults[key]);
    if (written !== usual) parts.push(`${key}=${encodeURIComponent(written).replace(/%2C/g, ",").replace(/%3A/g, ":")}`);
  }
  return parts.length ? `#${parts.join("&")}` : "";
}
