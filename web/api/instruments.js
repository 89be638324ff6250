// Names of instruments, cached: many places of a page show the same few.

import { Problem, ask } from "./client.js";

/** @typedef {import("./client.js").Schemas["DescribedInstrument"]} Described */

const KEPT_MS = 60_000;
const IS_ID = /^\d+$/;

/** @type {Map<number | string, { atMs: number, answer: Promise<Described> }>} */
const kept = new Map();

/**
 * Requests each instrument at most once a minute, for all callers together.
 *
 * @param {number | string} instrument an id or a symbol
 * @returns {Promise<Described>}
 */
export function described(instrument) {
  const held = kept.get(instrument);
  if (held !== undefined && Date.now() - held.atMs < KEPT_MS) return held.answer;
  const asked = { atMs: Date.now(), answer: /** @type {Promise<Described>} */ (ask(`/v1/instruments/${encodeURIComponent(instrument)}`)) };
  kept.set(instrument, asked);
  asked.answer.catch((error) => {
    const forget = () => void (kept.get(instrument) === asked && kept.delete(instrument));
    // All callers try again, each in its own time: none of them before the server allows it.
    setTimeout(forget, error instanceof Problem ? 1000 * (error.retryAfterS ?? 0) : 0);
  });
  return asked.answer;
}

/**
 * Returns what an address means, and the subject of its best form: the symbol, unless that means
 * another instrument or, as all digits, an id.
 *
 * @param {string} subject an id or a symbol
 * @returns {Promise<{ id: number, subject: string }>}
 */
export async function meaning(subject) {
  const { instrument_id: id, symbol } = await described(subject);
  if (symbol === null || IS_ID.test(symbol)) return { id, subject: String(id) };
  const means = symbol === subject ? id : (await described(symbol)).instrument_id;
  return { id, subject: means === id ? symbol : String(id) };
}
