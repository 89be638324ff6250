// A user's history: the instruments that the user has.

import { useState } from "preact/hooks";
import { Age } from "../shell/banner.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { rejectionOf } from "../state/event_types.js";
import { whole } from "../state/format.js";
import { UndoButton } from "./user_events.js";
import { SymbolLink } from "./instrument_name.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const FIRST = 15;
/** @type {readonly import("./table_head.js").Title[]} */
const TITLES = ["Instrument", ["Affinity", "the weight of the user's events on it"], "Last event", ["", "Act"]];

/**
 * @param {object} props
 * @param {import("../shell/hooks.js").Answered<Schemas["History"]>} props.found
 * @param {import("./user_events.js").Acting} props.acting
 */
export function UserHistory({ found: { answer, atMs, problem }, acting }) {
  const [all, setAll] = useState(false);
  const unknown = problem?.status === 404;
  const items = unknown ? [] : (answer?.items ?? []);
  const shown = all ? items : items.slice(0, FIRST);
  return html`
    <section class="panel" aria-labelledby="history-title">
      <div class="tools">
        <h2 id="history-title">History${items.length > 0 && html` <span
          class="badge">${whole(items.length)}</span>`}</h2>
        ${atMs !== null && !unknown && html`<span class="age">asked <${Age} ms=${atMs} /></span>`}
      </div>
      ${unknown ? html`<p class="note">${problem.message}.</p>` : html`<${Refusal} problem=${problem} />`}
      ${items.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="History">
        <table class="numbers">
          <${TableHead} titles=${TITLES} />
          <tbody>
            ${shown.map(({ instrument_id, affinity, last_event_ts }) => html`<tr key=${instrument_id}
              data-instrument=${instrument_id}>
              <th scope="row"><${SymbolLink} id=${instrument_id} /></th>
              <td>${rejectionOf(affinity) && html`<span class="badge">${rejectionOf(affinity)}</span> `}${affinity.toFixed(2)}</td>
              <td><${Age} ms=${last_event_ts} /></td>
              <td>${rejectionOf(affinity) && html`<${UndoButton} acting=${acting} id=${instrument_id} />`}</td>
            </tr>`)}
          </tbody>
        </table>
      </div>`}
      ${shown.length < items.length && html`<button type="button"
        onClick=${() => setAll(true)}>All ${whole(items.length)}</button>`}
    </section>
  `;
}
