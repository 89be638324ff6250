// JSON whose whole numbers stay exact. An instrument's id may be above 2^53, where a number of
// JavaScript loses digits: what a number cannot hold is a bigint, and is written as it was read.
//
// The API's types say `number` of ids all the same. Nothing computes with them: they are compared,
// and put into texts and keys of maps, which bigints can do as well.

/** @typedef {(name: string, value: unknown, context?: { source?: string }) => unknown} Reviver */
/** @typedef {typeof JSON & { rawJSON: (text: string) => unknown }} ExactJson */

const WHOLE = /^-?\d+$/;

/** @param {string} text @returns {any} @throws {SyntaxError} */
export const parsed = (text) => JSON.parse(text, /** @type {Reviver} */ (exact));

/** @param {unknown} value @param {number} [spaces] to indent by @returns {string} */
export const written = (value, spaces) => JSON.stringify(value, raw, spaces);

/** @param {string} text digits only @returns {number} a bigint where that cannot hold it */
export function idOf(text) {
  const id = Number(text);
  return Number.isSafeInteger(id) ? id : /** @type {any} */ (BigInt(text));
}

/** @type {Reviver} */
function exact(_, value, context) {
  const source = context?.source; // a browser from before 2025 does not tell it
  if (typeof value !== "number" || Number.isSafeInteger(value) || !source || !WHOLE.test(source)) return value;
  return BigInt(source);
}

/** @param {string} _ @param {unknown} value */
function raw(_, value) {
  return typeof value === "bigint" ? /** @type {ExactJson} */ (JSON).rawJSON(String(value)) : value;
}
