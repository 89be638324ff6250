// What instruments are called: many places of a page show the same few.

import { ask } from "./client.js";

/** @typedef {import("./client.js").Schemas["DescribedInstrument"]} Described */

const KEPT_MS = 60_000;

/** @type {Map<number, { atMs: number, answer: Promise<Described> }>} */
const kept = new Map();

/**
 * Asks for each instrument once a minute at most, for however many places.
 *
 * @param {number} id
 * @returns {Promise<Described>}
 */
export function described(id) {
  const held = kept.get(id);
  if (held !== undefined && Date.now() - held.atMs < KEPT_MS) return held.answer;
  const asked = { atMs: Date.now(), answer: /** @type {Promise<Described>} */ (ask(`/v1/instruments/${id}`)) };
  kept.set(id, asked);
  asked.answer.catch(() => {
    if (kept.get(id) === asked) kept.delete(id); // so that it is asked for again
  });
  return asked.answer;
}
