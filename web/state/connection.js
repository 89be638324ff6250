// What the page gets no answers to, and since when. Each question has a name of its own here.

import { createStore } from "./store.js";

/** @typedef {{ readonly sinceMs: number, readonly reason: string }} Failure */
/** @typedef {Readonly<Record<string, Failure>>} Failures by the question's name */

/** @type {import("./store.js").Store<Failures>} */
export const failures = createStore({});

/**
 * A question that fails again fails since the first time.
 *
 * @param {Failures} before
 * @param {string} question
 * @param {string} reason
 * @param {number} nowMs
 * @returns {Failures}
 */
export function withFailure(before, question, reason, nowMs) {
  const sinceMs = before[question]?.sinceMs ?? nowMs;
  return { ...before, [question]: { sinceMs, reason } };
}

/**
 * @param {Failures} before
 * @param {string} question answered, or asked no longer
 * @returns {Failures}
 */
export function withoutFailure(before, question) {
  if (!(question in before)) return before;
  const { [question]: _, ...others } = before;
  return others;
}

/**
 * @param {Failures} found
 * @returns {Failure | null} the one that lasts longest
 */
export function longest(found) {
  const all = Object.values(found).sort((one, other) => one.sinceMs - other.sinceMs);
  return all[0] ?? null;
}

/** @param {string} question @param {string} reason */
export function noteFailure(question, reason) {
  failures.update((before) => withFailure(before, question, reason, Date.now()));
}

/** @param {string} question */
export function noteAnswer(question) {
  failures.update((before) => withoutFailure(before, question));
}
