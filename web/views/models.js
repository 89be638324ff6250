// The served models, their history, and decisions on them.

import { useRef, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { CanaryTrial } from "../parts/canary.js";
import { Deciding } from "../parts/deciding.js";
import { DecisionsTable } from "../parts/decisions.js";
import { FiguresOverTime } from "../parts/figures_over_time.js";
import { GenerationReport } from "../parts/generation_report.js";
import { ServedModels } from "../parts/served_models.js";
import { Age } from "../shell/banner.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { canaryOf, timeline } from "../state/models.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/**
 * @template T
 * @typedef {import("../shell/hooks.js").Answered<T>} Answered
 */

const EVERY_MS = 5_000;
const DECISIONS = 100;
/** As many as are kept. */
const MOST_DECISIONS = 1000;

/** @param {{ place: import("../shell/router.js").Place }} props its subject is a generation */
export function View({ place }) {
  const [round, setRound] = useState(0);
  const [n, setN] = useState(DECISIONS);
  const models = /** @type {Answered<Schemas["Models"]>} */ (useKept("models", "/v1/models", round));
  const experiments = /** @type {Answered<Schemas["Experiments"]>} */ (
    useKept("experiments", "/v1/experiments", round)
  );
  const decisions = /** @type {Answered<Schemas["Decisions"]>} */ (
    useKept("decisions", `/v1/models/decisions?n=${n}`, round)
  );
  const found = models.answer;
  const decided = decisions.answer?.decisions ?? [];
  const canary = found && canaryOf(found);
  const shown = found && shownOf(found, place.subject);
  return html`
    <div class="models">
      <section class="panel served" aria-labelledby="models-title">
        <div class="tools">
          <div class="title">
            <h1 id="models-title">Models</h1>
            ${found?.experiment && html`<span class="badge">experiment ${found.experiment}</span>`}
            ${models.atMs !== null && html`<span class="age">as of <${Age} ms=${models.atMs} /></span>`}
          </div>
          ${found && html`<${Deciding} models=${found} experiments=${experiments.answer}
            onDecided=${() => setRound((before) => before + 1)} />`}
        </div>
        ${found?.held && html`<p class="note refusal" role="status">Held: someone rolled back, so the trainer publishes
          nothing until <code>python -m trainer once</code> is run.</p>`}
        <${Problems} problem=${models.problem} />
        ${found && html`<${ServedModels} models=${found} selected=${shown?.generation ?? ""} />`}
      </section>
      ${found && html`<${FiguresOverTime} points=${timeline(found, decided)}
        canary=${canary?.serves.generation ?? null} />`}
      <div class="stack">
        ${found && html`<${CanaryTrial} canary=${canary} />`}
        <${Refusal} problem=${found === null ? null : decisions.problem} />
        ${decisions.answer && html`<${DecisionsTable} decisions=${decided}
          more=${decided.length === n && n < MOST_DECISIONS} onMore=${() => setN(MOST_DECISIONS)} />`}
      </div>
      ${shown && html`<${GenerationReport} model=${shown} />`}
    </div>
  `;
}

/** @param {{ problem: import("../api/client.js").Problem | null }} props */
function Problems({ problem }) {
  if (problem?.status === 404) return html`<p class="note">${problem.message}.</p>`;
  const needed = problem?.status === 401 || problem?.status === 403;
  return html`
    <${Refusal} problem=${problem} />
    ${needed && html`<p class="note">Reading models needs a key that has the scope <code>read</code>.</p>`}
  `;
}

/**
 * @param {string} name of the question
 * @param {string} path
 * @param {number} round requests at once when it grows; the last answer is shown until then
 * @returns {Answered<unknown>}
 */
function useKept(name, path, round) {
  const found = useAnswer(`${name} ${path} ${round}`, (signal) => ask(path, { signal }), EVERY_MS);
  const kept = useRef(/** @type {Answered<unknown>} */ (found));
  if (found.answer !== null) kept.current = found;
  else if (found.problem !== null) kept.current = { ...kept.current, problem: found.problem };
  return kept.current;
}

/**
 * @param {Schemas["Models"]} models
 * @param {string} generation
 * @returns {Schemas["Model"] | null} the default variant's if there is no such one
 */
function shownOf({ variants, previous }, generation) {
  const all = [...variants.map(({ serves }) => serves), ...previous];
  return all.find((model) => model.generation === generation) ?? all[0] ?? null;
}
