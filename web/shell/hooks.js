// Hooks for views: stores, the time, and answers of the API.

import { useEffect, useRef, useState } from "preact/hooks";
import { repeatedly } from "../api/requests.js";
import { apiKey } from "../state/session.js";
import { createStore } from "../state/store.js";

/** @typedef {import("../api/client.js").Problem} Problem */

const now = createStore(Date.now());
setInterval(() => now.update(() => Date.now()), 1000);

/**
 * @template T
 * @param {import("../state/store.js").Store<T>} store
 * @returns {T} its value; the component rerenders when it changes
 */
export function useStore(store) {
  const [, draw] = useState({});
  const value = store.get();
  useEffect(() => {
    const end = store.follow(() => draw({}));
    // It may have changed since it was rendered: effects come after the page is painted.
    if (!Object.is(store.get(), value)) draw({});
    return end;
  }, [store]);
  return value;
}

/** @returns {number} the time in ms since the epoch, a second old at most */
export const useNow = () => useStore(now);

/**
 * @template T
 * @typedef {object} Answered
 * @property {T | null} answer the last answer to this request
 * @property {number | null} atMs when it was received, ms since the epoch
 * @property {Problem | null} problem why there is no newer one, if the API rejects the request
 */

/** @type {Answered<never>} */
const NOTHING = { answer: null, atMs: null, problem: null };

/**
 * Requests when the question or the key changes, and then at intervals. While the API is down, it
 * keeps the last answer and retries.
 *
 * @template T
 * @param {string | null} question identifies the request of `once`; null: sends none
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

/**
 * @template T
 * @param {T | null} answer
 * @returns {T | null} the one before, until there is one to the present question
 */
export function useLast(answer) {
  const last = useRef(answer);
  if (answer !== null) last.current = answer;
  return last.current;
}
