// Requests that are retried until they succeed, and requests that are repeated.

import { noteAnswer, noteFailure } from "../state/connection.js";
import { Problem, Unreachable } from "./client.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;

/**
 * Returns the answer, however long that takes; reports failures until then.
 *
 * @template T
 * @param {string} question a name for it
 * @param {() => Promise<T>} once
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 * @throws {Problem} a retry would not help
 */
export async function answered(question, once, signal) {
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        return await once();
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error;
        await pauseAfter(question, error, tries, signal);
      }
    }
  } finally {
    noteAnswer(question);
  }
}

/**
 * Repeats a request and passes on each answer, until `signal` aborts it.
 *
 * @template T
 * @param {string} question
 * @param {() => Promise<T>} once
 * @param {object} how
 * @param {number | null} how.everyMs null: stops after the first answer
 * @param {AbortSignal} how.signal
 * @param {(answer: T) => void} how.onAnswer
 * @param {(problem: Problem) => void} how.onProblem
 * @returns {Promise<void>}
 */
export async function repeatedly(question, once, { everyMs, signal, onAnswer, onProblem }) {
  try {
    do {
      await untilVisible(signal);
      try {
        const answer = await answered(question, once, signal);
        signal.throwIfAborted(); // `once` may be shared by several, and then nobody aborts it
        onAnswer(answer);
      } catch (error) {
        if (signal.aborted || !(error instanceof Problem)) throw error;
        onProblem(error);
      }
      if (everyMs !== null) await pause(everyMs, signal);
    } while (everyMs !== null);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** @param {unknown} error @returns {error is Problem | Unreachable} */
export function isPassing(error) {
  return error instanceof Unreachable || (error instanceof Problem && error.passes);
}

/**
 * Reports a failure, and waits until the request may be sent again.
 *
 * @param {string} question
 * @param {Problem | Unreachable} error
 * @param {number} tries that failed before
 * @param {AbortSignal} signal
 */
export async function pauseAfter(question, error, tries, signal) {
  const ms = pauseMs(tries, error);
  noteFailure(question, { reason: reasonOf(error), cutOff: error instanceof Unreachable, againMs: Date.now() + ms });
  await pause(ms, signal);
}

/** @param {Problem | Unreachable} error @returns {string} such as The server answers 503: Server overloaded */
const reasonOf = (error) =>
  error instanceof Problem ? `The server answers ${error.status}: ${error.title || error.message}` : error.message;

/**
 * @param {number} tries that failed before
 * @param {unknown} error
 * @returns {number} the delay: doubles each time, up to a bound, and is at least what the server requested; up to a
 *   quarter longer at random, so that requests that fail together are not repeated together
 */
function pauseMs(tries, error) {
  const asked = error instanceof Problem && error.retryAfterS ? error.retryAfterS * 1000 : 0;
  const shortest = Math.max(asked, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries));
  return shortest * (1 + Math.random() / 4);
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, ms);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

/** @param {AbortSignal} signal @returns {Promise<void>} hidden pages send no requests */
export function untilVisible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const end = () => {
      document.removeEventListener("visibilitychange", seen);
      reject(signal.reason);
    };
    const seen = () => {
      signal.removeEventListener("abort", end);
      resolve();
    };
    if (signal.aborted) return end();
    document.addEventListener("visibilitychange", seen, { once: true });
    signal.addEventListener("abort", end, { once: true });
  });
}
