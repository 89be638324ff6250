// Names of instruments, cached: many places of a page show the same few.

import { ask } from "./client.js";

/** @typedef {import("./client.js").Schemas["DescribedInstrument"]} Described */

const KEPT_MS = 60_000;

/** @type {Map<number, { atMs: number, answer: Promise<Described> }>} */
const kept = new Map();

/**
 * Requests each instrument at most once a minute, for all callers together.
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
    if (kept.get(id) === asked) kept.delete(id); // so that it is requested again
  });
  return asked.answer;
}
