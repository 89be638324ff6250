// Whether the API reports that it is ready. "Not ready" is an answer, too.

import { Problem, ask } from "./client.js";

/** @typedef {import("../state/pipeline.js").Health} Health */

/** The problem's title: other answers with its status are temporary. */
const NOT_READY = "Not ready to serve";

/**
 * @param {AbortSignal} signal
 * @returns {Promise<Health>}
 * @throws {Problem | import("./client.js").Unreachable}
 */
export async function readiness(signal) {
  try {
    await ask("/health/ready", { signal });
    return { kind: "ready", says: "" };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 404) return { kind: "private", says: "" };
    if (error.title === NOT_READY) return { kind: "not ready", says: error.message };
    throw error;
  }
}
