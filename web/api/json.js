// JSON with exact integers. An instrument's id may be above 2^53, where JavaScript numbers lose
// digits: such an integer becomes a bigint, and is serialized as it was parsed.
//
// The API's types still declare ids as `number`. Nothing computes with them: they are compared, and
// used in texts and as map keys, which also works with bigints.

/** @typedef {(name: string, value: unknown, context?: { source?: string }) => unknown} Reviver */
/** @typedef {typeof JSON & { rawJSON: (text: string) => unknown }} ExactJson */

const WHOLE = /^-?\d+$/;

/** @param {string} text @returns {any} @throws {SyntaxError} */
export const parsed = (text) => JSON.parse(text, /** @type {Reviver} */ (exact));

/** @param {unknown} value @param {number} [spaces] to indent by @returns {string} */
export const written = (value, spaces) => JSON.stringify(value, raw, spaces);

/** @param {string} text all digits @returns {number} a bigint if it is too large */
export function idOf(text) {
  const id = Number(text);
  return Number.isSafeInteger(id) ? id : /** @type {any} */ (BigInt(text));
}

/** @type {Reviver} */
function exact(_, value, context) {
  const source = context?.source; // browsers from before 2025 do not provide it
  if (typeof value !== "number" || Number.isSafeInteger(value) || !source || !WHOLE.test(source)) return value;
  return BigInt(source);
}

/** @param {string} _ @param {unknown} value */
function raw(_, value) {
  return typeof value === "bigint" ? /** @type {ExactJson} */ (JSON).rawJSON(String(value)) : value;
}
