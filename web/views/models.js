// The served models, their history, and the decisions on them.

import { useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { FiguresOverTime } from "../parts/figures_over_time.js";
import { GenerationReport } from "../parts/generation_report.js";
import { ServedModels } from "../parts/served_models.js";
import { TableHead } from "../parts/table_head.js";
import { Age } from "../shell/banner.js";
import { useAnswer, useLast } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { minute, percent, whole } from "../state/format.js";
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
/** @type {Partial<Record<Schemas["Decision"]["what"], string>>} */
const TONES = { promoted: "up", published: "up", rejected: "down", "rolled back": "down", withdrawn: "down" };
const DECISION_TITLES = ["At", "Decision, by", "Generation, variant", "Why"];

/** @param {{ place: import("../shell/router.js").Place }} props its subject is a generation */
export function View({ place }) {
  const [n, setN] = useState(DECISIONS);
  const models = /** @type {Answered<Schemas["Models"]>} */ (
    useAnswer("models", (signal) => ask("/v1/models", { signal }), EVERY_MS)
  );
  const decisions = /** @type {Answered<Schemas["Decisions"]>} */ (
    useAnswer(`decisions ${n}`, (signal) => ask(`/v1/models/decisions?n=${n}`, { signal }), EVERY_MS)
  );
  const found = models.answer;
  const decided = useLast(decisions.answer)?.decisions ?? null;
  const canary = found && canaryOf(found);
  const shown = found && shownOf(found, place.subject);
  return html`
    <div class="models">
      <section class="panel served" aria-labelledby="models-title">
        <div class="title">
          <h1 id="models-title">Models</h1>
          ${found?.experiment && html`<span class="badge">experiment ${found.experiment}</span>`}
          ${models.atMs !== null && html`<span class="age">as of <${Age} ms=${models.atMs} /></span>`}
        </div>
        ${found?.held && html`<p class="note refusal" role="status">Held: someone rolled back, so the trainer publishes
          nothing until <code>python -m trainer once</code> is run.</p>`}
        <${Problems} problem=${models.problem} />
        ${found && html`<${ServedModels} models=${found} selected=${shown?.generation ?? ""} />`}
      </section>
      ${found && html`<${FiguresOverTime} points=${timeline(found, decided ?? [])}
        canary=${canary?.serves.generation ?? null} />`}
      <div class="stack">
        ${found && html`<${CanaryTrial} canary=${canary} />`}
        <${Refusal} problem=${found === null ? null : decisions.problem} />
        ${decided && html`<${DecisionsTable} decisions=${decided}
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

/** @param {{ canary: Schemas["Variant"] | null }} props */
function CanaryTrial({ canary }) {
  const trial = canary?.trial ?? null;
  return html`
    <section class="panel trial" aria-labelledby="trial-title">
      <h2 id="trial-title">Canary</h2>
      ${canary === null || trial === null
        ? html`<p class="note">No generation is on trial. With <code>CANARY_RULES</code> the trainer tries each on
            some users first.</p>`
        : html`<dl>
            <div><dt>Generation</dt><dd>${canary.serves.generation}</dd></div>
            <div><dt>Users</dt>
              <dd>${percent(canary.users)} of all, ${percent(trial.share)} of the default variant's</dd></div>
            <div><dt>On trial since</dt><dd>${minute(trial.since_ms)} (<${Age} ms=${trial.since_ms} />)</dd></div>
            <div><dt>Compared at</dt><dd>${minute(trial.until_ms)}</dd></div>
          </dl>`}
    </section>
  `;
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

/** @param {{ decisions: readonly Schemas["Decision"][], more: boolean, onMore: () => void }} props */
function DecisionsTable({ decisions, more, onMore }) {
  return html`
    <section class="panel" aria-labelledby="decisions-title">
      <h2 id="decisions-title">Decisions</h2>
      ${decisions.length === 0 && html`<p class="note">There are no decisions yet.</p>`}
      ${decisions.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Decisions">
        <table class="numbers decisions">
          <${TableHead} titles=${DECISION_TITLES} />
          <tbody>${decisions.map((decision) => html`<${DecisionRow} decision=${decision}
            key="${decision.at} ${decision.generation} ${decision.what}" />`)}</tbody>
        </table>
        ${more && html`<button type="button" onClick=${onMore}>Earlier decisions</button>`}
      </div>`}
    </section>
  `;
}

/** @param {{ decision: Schemas["Decision"] }} props */
function DecisionRow({ decision: { at, what, generation, variant, by, why, figures } }) {
  const seen = Object.entries(figures).map(([name, value]) => `${name} ${figureOf(value)}`).join(", ");
  return html`<tr>
    <th scope="row">${at.slice(0, 10)}<span class="seen">${at.slice(11, 19)}</span></th>
    <td><span class=${TONES[what] ?? ""}>${what}</span><span class="seen">${by}</span></td>
    <td>${generation}<span class="seen">${variant}</span></td>
    <td>${why}${seen && html`<span class="seen">${seen}</span>`}</td>
  </tr>`;
}

/** @param {number} value @returns {string} */
const figureOf = (value) => (Number.isInteger(value) ? whole(value) : value.toFixed(4));
