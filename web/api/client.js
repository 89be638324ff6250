// One request to the API and its answer.

import { adminKey, apiKey } from "../state/session.js";
import { parsed, written } from "./json.js";

/**
 * Types of answers to requests without `ids=string`: ids are numbers.
 *
 * @template T
 * @typedef {[T] extends [string | number] ? ([string | number] extends [T] ? number : T)
 *   : T extends readonly (infer U)[] ? WithNumbers<U>[]
 *   : T extends object ? { [K in keyof T]: WithNumbers<T[K]> } : T} WithNumbers
 */
/** @typedef {WithNumbers<import("./types").components["schemas"]>} Schemas */
/** @typedef {Record<string, string | number | boolean>} Query */

const TIMEOUT_MS = 10_000;

/** An error answer of the API: RFC 9457. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {{ title?: string, detail?: string }} said
   * @param {number | null} retryAfterS
   */
  constructor(status, said, retryAfterS) {
    super(said.detail ?? said.title ?? `The server answered ${status}`);
    this.status = status;
    this.title = said.title ?? "";
    this.retryAfterS = retryAfterS;
  }

  /** Whether a retry may succeed. */
  get passes() {
    return this.status === 429 || this.status >= 500;
  }
}

/** The server could not be reached, or did not answer in time. */
export class Unreachable extends Error {}

/**
 * Returns the answer, of the type that the caller expects.
 *
 * @template T
 * @param {string} path
 * @param {{ query?: Query, method?: string, body?: unknown, asAdmin?: boolean, signal?: AbortSignal }} [more]
 * @returns {Promise<T>}
 * @throws {Problem | Unreachable} or, if `signal` ended it, an AbortError
 */
export async function ask(path, { query, method = "GET", body, asAdmin = false, signal } = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await sent(path, {
    query,
    method,
    asAdmin,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? null : written(body),
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  try {
    return parsed(await answer.text());
  } catch (error) {
    throw signal?.aborted ? error : new Unreachable("The answer was incomplete");
  }
}

/**
 * Returns an answer as soon as it begins.
 *
 * @typedef {{ query?: Query | undefined, asAdmin?: boolean, headers?: Record<string, string> }} Asked
 * @param {string} path
 * @param {Asked & RequestInit & { signal: AbortSignal }} request
 * @returns {Promise<Response>}
 * @throws {Problem | Unreachable} or an AbortError
 */
export async function sent(path, { query = {}, asAdmin = false, headers = {}, ...request }) {
  const asked = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const key = (asAdmin && adminKey.get()) || apiKey.get();
  const answer = await fetch(asked.size > 0 ? `${path}?${asked}` : path, {
    ...request,
    headers: key ? { ...headers, "X-API-Key": key } : headers,
    cache: "no-store", // even a copy that is a second old would hide newer data
  }).catch((error) => {
    throw error.name === "AbortError" ? error : new Unreachable("The server does not answer");
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** @param {Response} answer @returns {Promise<Problem>} */
async function problemOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const after = answer.headers.get("Retry-After");
  return new Problem(answer.status, said, after === null ? null : Number(after));
}
