// The generation on trial: its start, its figures so far, and the time of the decision.

import { Age } from "../shell/banner.js";
import { useNow } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { change, minute, percent, span, whole } from "../state/format.js";
import { compared } from "../state/models.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/models.js").Compared} Compared */

const AT_NEXT_RUN = "at the trainer's next run";

/** @param {{ canary: Schemas["Variant"] | null }} props */
export function CanaryTrial({ canary }) {
  const trial = canary?.trial ?? null;
  return html`
    <section class="panel trial" aria-labelledby="trial-title">
      <h2 id="trial-title">Canary</h2>
      ${canary === null || trial === null
        ? html`<p class="note">No generation is on trial. With <code>CANARY_RULES</code> the trainer tries each on
            some users first.</p>`
        : html`
          <dl>
            <div><dt>Generation</dt><dd>${canary.serves.generation}</dd></div>
            <div><dt>Users</dt>
              <dd>${percent(canary.users)} of all, ${percent(trial.share)} of the default variant's</dd></div>
            <div><dt>On trial since</dt><dd>${minute(trial.since_ms)} (<${Age} ms=${trial.since_ms} />)</dd></div>
          </dl>
          ${trial.so_far === null
            ? html`<p class="note">The trainer has not looked at it yet.</p>`
            : html`<${SoFar} seen=${trial.so_far} />`}`}
    </section>
  `;
}

/** @param {{ seen: Schemas["Standing"] }} props */
function SoFar({ seen }) {
  const rows = compared(seen.figures);
  const judged = seen.enough ? AT_NEXT_RUN : "as soon as enough is seen";
  return html`
    <dl>
      <div><dt>Judged</dt><dd><${When} ms=${seen.due_ms} over=${judged} /></dd></div>
      <div><dt>Withdrawn, if too little is seen,</dt>
        <dd><${When} ms=${seen.until_ms} over=${AT_NEXT_RUN} /></dd></div>
    </dl>
    <p class="reason">
      <span class="badge">${seen.enough ? "Enough" : "Too little"} is seen to judge</span> ${seen.why}
    </p>
    <div class="wide" tabindex="0" role="region" aria-label="Canary and served">
      <table class="numbers">
        <${TableHead} titles=${["So far", "Served", "Canary", "Difference", "p"]} />
        <tbody>${rows.map((row) => html`<${Row} key=${row.measure} row=${row} />`)}</tbody>
      </table>
    </div>
    <p class="note">Seen <${Age} ms=${Date.parse(seen.at)} />. On the way this is no verdict: p is the chance of so low
      a canary if the two generations differ in nothing.</p>
  `;
}

/** @param {{ row: Compared }} props */
function Row({ row: { measure, served, canary, kind, p } }) {
  const shown = (/** @type {number | null} */ value) =>
    value === null ? "" : { number: value.toFixed(4), count: whole(value), share: percent(value) }[kind];
  const relative = kind !== "count" && served && canary !== null ? canary / served - 1 : null;
  return html`<tr>
    <th scope="row">${measure}</th>
    <td>${shown(served)}</td>
    <td>${shown(canary)}</td>
    <td>${relative !== null && html`<span class=${relative < 0 ? "down" : "up"}>${change(relative)}</span>`}</td>
    <td>${p?.toFixed(3)}</td>
  </tr>`;
}

/** @param {{ ms: number, over: string }} props since the epoch; text to show after that */
function When({ ms, over }) {
  const left = ms - useNow();
  return left > 0 ? `in ${span(left)}` : over;
}
