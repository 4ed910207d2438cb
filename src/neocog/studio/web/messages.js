// Messages between Python and the page: u32 n, n bytes of JSON padded to 4, float32 blocks; all little-endian.

/** Read a message; returns {header, arrays: Map(name -> {shape, data: Float32Array})}. */
export function decode(message) {
  const view = ArrayBuffer.isView(message)
    ? new DataView(message.buffer, message.byteOffset, message.byteLength) : new DataView(message);
  const size = view.getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + 4, size));
  const header = JSON.parse(text);
  const arrays = new Map();
  let start = 4 + padded(size);
  for (const [name, shape] of header.arrays) {
    const count = shape.reduce((product, k) => product * k, 1);
    arrays.set(name, { shape, data: floats(view, start, count) });
    start += 4 * count;
  }
  if (start !== view.byteLength) throw new Error(`a message of ${view.byteLength} bytes lists arrays up to ${start}.`);
  return { header, arrays };
}

/** Write a message from a header and a Map(name -> {shape, data}); returns an ArrayBuffer. */
export function encode(header, arrays = new Map()) {
  const listed = [...arrays].map(([name, array]) => [name, [...array.shape]]);
  const text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: listed }));
  const counts = [...arrays.values()].map((array) => array.data.length);
  const buffer = new ArrayBuffer(4 + padded(text.length) + 4 * counts.reduce((sum, k) => sum + k, 0));
  new DataView(buffer).setUint32(0, text.length, true);
  new Uint8Array(buffer).set(text, 4);
  let start = 4 + padded(text.length);
  for (const { data } of arrays.values()) {
    new Float32Array(buffer, start, data.length).set(data);
    start += 4 * data.length;
  }
  return buffer;
}

const padded = (size) => size + ((4 - (size % 4)) % 4);

/** Read floats, in place where they are aligned; a notebook's buffers may not be. */
function floats(view, start, count) {
  const at = view.byteOffset + start;
  if (at % 4 === 0) return new Float32Array(view.buffer, at, count);
  return new Float32Array(view.buffer.slice(at, at + 4 * count));
}
