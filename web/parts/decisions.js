// Decisions on generations with their reasons, newest first.

import { html } from "../shell/html.js";
import { whole } from "../state/format.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

/** @type {Partial<Record<Schemas["Decision"]["what"], string>>} */
const TONES = { promoted: "up", published: "up", rejected: "down", "rolled back": "down", withdrawn: "down" };
const TITLES = ["At", "Decision, by", "Generation, variant", "Why"];

/** @param {{ decisions: readonly Schemas["Decision"][], more: boolean, onMore: () => void }} props */
export function DecisionsTable({ decisions, more, onMore }) {
  return html`
    <section class="panel" aria-labelledby="decisions-title">
      <h2 id="decisions-title">Decisions</h2>
      ${decisions.length === 0 && html`<p class="note">There are no decisions yet.</p>`}
      ${decisions.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Decisions">
        <table class="numbers decisions">
          <${TableHead} titles=${TITLES} />
          <tbody>${decisions.map((decision) => html`<${Row} decision=${decision}
            key="${decision.at} ${decision.generation} ${decision.what}" />`)}</tbody>
        </table>
        ${more && html`<button type="button" onClick=${onMore}>Earlier decisions</button>`}
      </div>`}
    </section>
  `;
}

/** @param {{ decision: Schemas["Decision"] }} props */
function Row({ decision: { at, what, generation, variant, by, why, figures } }) {
  const seen = Object.entries(figures).map(([name, value]) => `${name} ${shown(value)}`).join(", ");
  return html`<tr>
    <th scope="row">${at.slice(0, 10)}<span class="seen">${at.slice(11, 19)}</span></th>
    <td><span class=${TONES[what] ?? ""}>${what}</span><span class="seen">${by}</span></td>
    <td>${generation}<span class="seen">${variant}</span></td>
    <td>${why}${seen && html`<span class="seen">${seen}</span>`}</td>
  </tr>`;
}

/** @param {number} value @returns {string} */
const shown = (value) => (Number.isInteger(value) ? whole(value) : value.toFixed(4));
