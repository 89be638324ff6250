// The pipeline's status: problems, and the workers' progress.

import { Problem, ask } from "../api/client.js";
import { Standings } from "../parts/standings.js";
import { Topics } from "../parts/topics.js";
import { useAnswer, useNow, useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { failures } from "../state/connection.js";
import { standings } from "../state/pipeline.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/pipeline.js").Health} Health */

/** The API queries Kafka once a second at most. */
const EVERY_MS = 2_000;

/** The problem's title: other answers with its status are temporary. */
const NOT_READY = "Not ready to serve";
/** The names of the questions. */
const HEALTH = "readiness";
const PIPELINE = "pipeline";

/**
 * Asks whether the API is ready. "Not ready" is an answer, too.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<Health>}
 * @throws {Problem | import("./client.js").Unreachable}
 */
async function readiness(signal) {
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

/** @param {AbortSignal} signal */
const askPipeline = (signal) => /** @type {Promise<Schemas["Pipeline"]>} */ (ask("/v1/pipeline", { signal }));

/** @param {{ place: import("../shell/router.js").Place }} _ it has no subject */
export function View(_) {
  const health = useAnswer(HEALTH, readiness, EVERY_MS);
  const pipeline = useAnswer(PIPELINE, askPipeline, EVERY_MS);
  const failing = useStore(failures);
  const now = useNow();
  const known = {
    pipeline: pipeline.answer,
    atMs: pipeline.atMs ?? now,
    health: health.answer,
    noHealth: failing[HEALTH] ?? null,
    noPipeline: failing[PIPELINE] ?? refused(pipeline),
  };
  return html`
    <div class="pipeline">
      <${Standings} all=${standings(known)} atMs=${pipeline.atMs} />
      <${Refusal} problem=${pipeline.problem} />
      ${pipeline.answer && html`<${Topics} topics=${pipeline.answer.topics} atMs=${known.atMs} />`}
    </div>
  `;
}

/**
 * @param {import("../shell/hooks.js").Answered<unknown>} found
 * @returns {import("../state/connection.js").Failure | null} an error answer, since the last success, if there was one
 */
function refused({ atMs, problem }) {
  return problem === null || atMs === null ? null : { sinceMs: atMs, reason: problem.message, cutOff: false, againMs: null };
}
