// What views use to follow stores, the time, and answers of the API.

import { useEffect, useState } from "preact/hooks";
import { repeatedly } from "../api/asking.js";
import { apiKey } from "../state/session.js";
import { createStore } from "../state/store.js";

/** @typedef {import("../api/client.js").Problem} Problem */

const now = createStore(Date.now());
setInterval(() => now.update(() => Date.now()), 1000);

/**
 * @template T
 * @param {import("../state/store.js").Store<T>} store
 * @returns {T} its value; the component is drawn again when that changes
 */
export function useStore(store) {
  const [, draw] = useState({});
  useEffect(() => {
    const value = store.get();
    const end = store.follow(() => draw({}));
    if (!Object.is(store.get(), value)) draw({});
    return end;
  }, [store]);
  return store.get();
}

/** @returns {number} the time in ms since the epoch, a second old at most */
export const useNow = () => useStore(now);

/**
 * @template T
 * @typedef {object} Answered
 * @property {T | null} answer the last one to this question
 * @property {number | null} atMs when it came, ms since the epoch
 * @property {Problem | null} problem why there is no newer one, if the API refuses it
 */

/** @type {Answered<never>} */
const NOTHING = { answer: null, atMs: null, problem: null };

/**
 * Asks when the question changes, on a new key, and then again in intervals. While the API is away
 * it keeps the last answer, and goes on by itself.
 *
 * @template T
 * @param {string | null} question says all that `once` asks for; null: asks nothing
 * @param {(signal: AbortSignal) => Promise<T>} once
 * @param {number | null} [everyMs] null: until it is answered once
 * @returns {Answered<T>}
 */
export function useAnswer(question, once, everyMs = null) {
  const key = useStore(apiKey);
  const [found, setFound] = useState(
    /** @type {{ question: string | null, of: Answered<T> }} */ ({ question, of: NOTHING }),
  );
  useEffect(() => {
    if (question === null) return undefined;
    const ending = new AbortController();
    const before = (/** @type {typeof found} */ held) => (held.question === question ? held.of : NOTHING);
    repeatedly(question, () => once(ending.signal), {
      everyMs,
      signal: ending.signal,
      onAnswer: (answer) => setFound({ question, of: { answer, atMs: Date.now(), problem: null } }),
      onProblem: (problem) => setFound((held) => ({ question, of: { ...before(held), problem } })),
    });
    return () => ending.abort();
  }, [question, key, everyMs]);
  return found.question === question ? found.of : NOTHING;
}
