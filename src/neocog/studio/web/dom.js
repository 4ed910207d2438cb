// Build elements, and write numbers and places as people read them. Text is always text, never HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element: `h("button.quiet", {onclick, "aria-label": "..."}, "text", child)`. */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = name.startsWith("svg:")
    ? document.createElementNS(SVG, name.slice(4))
    : document.createElement(name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// While a button is pressed, what holds it is not replaced: the numbers change many times a second, and the click would be lost.
let pressed = null;
const waiting = new Map();
globalThis.addEventListener?.("pointerdown", (event) => { pressed = event.composedPath()[0].closest?.("button") ?? null; }, true);
for (const end of ["pointerup", "pointercancel"]) {
  globalThis.addEventListener?.(end, () => setTimeout(() => {
    pressed = null;
    for (const [element, children] of waiting) fill(element, ...children);
    waiting.clear();
  }), true);
}

/** Replace what is in an element; the button that has the keyboard, or its successor, keeps it. */
export function fill(element, ...children) {
  if (pressed && element.contains(pressed)) {
    waiting.set(element, children);
    return element;
  }
  const active = element.getRootNode().activeElement;
  const place = active && element.contains(active) ? [...element.querySelectorAll("button")].indexOf(active) : -1;
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (place >= 0 && !active.isConnected) element.querySelectorAll("button")[place]?.focus({ preventScroll: true });
  return element;
}

/** Set the text of an element if it is another one, so that screen readers hear only what is new. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Write a number with a few digits and a real minus sign; NaN and infinity by name. */
export function number(value, digits = 3) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4 ? value.toExponential(digits - 1)
    : size >= 10 ** digits ? value.toFixed(0) : Number(value.toPrecision(digits)).toString();
  return text.replace("e-", "e−").replace("e+", "e").replace(/^-/, "−");
}

/** Write a number with a fixed count of decimals, so that columns of numbers do not dance. */
export function fixed(value, decimals = 2) {
  if (!Number.isFinite(value)) return number(value);
  if (value !== 0 && Math.abs(value) < 0.5 * 10 ** -decimals) return value < 0 ? "−0" : "0";
  return (Math.abs(value) >= 1e4 ? number(value) : value.toFixed(decimals)).replace(/^-/, "−");
}

/** Write a fraction as a percentage. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  const hundredth = 100 * value;
  if (hundredth > 0 && hundredth < 1) return "< 1 %";
  if (hundredth > 99 && hundredth < 100) return "> 99 %";
  return `${Math.round(hundredth)} %`;
}

/** Write a whole number with thin spaces between thousands. */
export function whole(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, " ");
}

/** Say where a number stands, counted from 1 as people do: "map 3, row 2, column 4". */
export function where(shape, index) {
  return shape.length === 3
    ? `map ${index[0] + 1}, row ${index[1] + 1}, column ${index[2] + 1}`
    : `number ${index[0] + 1}`;
}

/** Return the offset of an index in an array of a shape. */
export function offset(shape, index) {
  return index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
}

/** Return the index of an offset in an array of a shape. */
export function unravel(shape, place) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(place % shape[axis]);
    place = Math.floor(place / shape[axis]);
  }
  return index;
}

/** Return whether an index lies within a shape. */
export function inside(shape, index) {
  return index.length === shape.length && index.every((i, axis) => Number.isInteger(i) && i >= 0 && i < shape[axis]);
}

/** Whether the person asked for less motion. */
export function calm() {
  return typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
}
