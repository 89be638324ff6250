// Requests without answers, and since when. Each request has a name here.

import { createStore } from "./store.js";

/**
 * @typedef {object} Reason
 * @property {string} reason
 * @property {boolean} cutOff whether there was no answer at all, rather than one that asks for patience
 * @property {number | null} againMs when the request is sent again, ms since the epoch
 *
 * @typedef {Readonly<Reason & { sinceMs: number }>} Failure
 */
/** @typedef {Readonly<Record<string, Failure>>} Failures by the question's name */

/** @type {import("./store.js").Store<Failures>} */
export const failures = createStore({});

/**
 * A repeated failure keeps the time of the first one.
 *
 * @param {Failures} before
 * @param {string} question
 * @param {Reason} reason
 * @param {number} nowMs
 * @returns {Failures}
 */
export function withFailure(before, question, reason, nowMs) {
  const sinceMs = before[question]?.sinceMs ?? nowMs;
  return { ...before, [question]: { sinceMs, ...reason } };
}

/**
 * @param {Failures} before
 * @param {string} question answered, or no longer sent
 * @returns {Failures}
 */
export function withoutFailure(before, question) {
  if (!(question in before)) return before;
  const { [question]: _, ...others } = before;
  return others;
}

/**
 * @param {Failures} found
 * @returns {Failure | null} the longest one
 */
export function longest(found) {
  const all = Object.values(found).sort((one, other) => one.sinceMs - other.sinceMs);
  return all[0] ?? null;
}

/** @param {string} question @param {Reason} reason */
export function noteFailure(question, reason) {
  failures.update((before) => withFailure(before, question, reason, Date.now()));
}

/** @param {string} question */
export function noteAnswer(question) {
  failures.update((before) => withoutFailure(before, question));
}
