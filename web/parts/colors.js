// The colors of the style sheet, for drawing on a canvas.

const NAMES = /** @type {const} */ ({
  text: "--muted",
  accent: "--accent",
  accentFaint: "--accent-faint",
  line: "--line-faint",
  background: "--panel",
  up: "--up",
  down: "--down",
  upFaint: "--up-faint",
  downFaint: "--down-faint",
});

/** @param {Element} element @returns {Record<keyof typeof NAMES, string>} */
export function colorsOf(element) {
  const style = getComputedStyle(element);
  const found = Object.entries(NAMES).map(([name, property]) => [name, style.getPropertyValue(property).trim()]);
  return Object.fromEntries(found);
}
