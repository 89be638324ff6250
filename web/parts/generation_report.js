// A generation's report: its training data, the checked rules, and the selected settings.

import { html } from "../shell/html.js";
import { minute, span, whole } from "../state/format.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

/** @param {{ model: Schemas["Model"] }} props */
export function GenerationReport({ model }) {
  const { report, fold_in: foldIn } = model;
  const halfLives = [
    foldIn.half_life_days && `half-life ${foldIn.half_life_days} days`,
    foldIn.half_life_items && `half-life ${foldIn.half_life_items} items`,
  ].filter(Boolean);
  const aging = halfLives.join(", ") || "whatever their age";
  return html`
    <section class="panel report" aria-labelledby="report-title">
      <h2 id="report-title">Report of ${model.generation}</h2>
      <p class="note">${model.model} for items, ${model.user_model} for users; histories fold in
        up to ${whole(foldIn.items)} items, ${aging}.</p>
      ${report === null
        ? html`<p class="note">Its report is gone or damaged.</p>`
        : html`<${Report} report=${report} />`}
    </section>
  `;
}

/** @param {{ report: Schemas["Figures"] }} props */
function Report({ report }) {
  const { data, selection } = report;
  const [started, finished] = [Date.parse(report.started), Date.parse(report.finished)];
  const facts = {
    ...{ Finished: minute(finished), Took: took(finished - started) },
    ...{ Users: whole(data.users), Items: whole(data.items) },
    ...{ Pairs: whole(data.pairs), Affinities: whole(data.affinities) },
  };
  return html`
    <dl>
      ${Object.entries(facts).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
    ${selection !== null && html`<p class="reason"><span class="badge">Chosen</span> ${reasonOf(selection)}</p>`}
    ${report.quality.length > 0 && html`<div class="wide" tabindex="0" role="region" aria-label="Rules">
      <table class="numbers rules">
        <${TableHead} titles=${["Rule", "Result", "Value", "Limit", "Meaning"]} />
        <tbody>${report.quality.map((checked) => html`<${Rule} key=${checked.rule} checked=${checked} />`)}</tbody>
      </table>
    </div>`}
  `;
}

/** @param {number} ms @returns {string} */
const took = (ms) => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : span(ms));

/** @param {Schemas["Selection"]} selection @returns {string} */
function reasonOf({ found }) {
  const { values, why } = /** @type {{ values?: Record<string, unknown>, why?: string }} */ (found);
  const chosen = Object.entries(values ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
  return [chosen, why].filter(Boolean).join(": ");
}

/** @param {{ checked: Schemas["Checked"] }} props */
function Rule({ checked: { rule, level, holds, value, limit, meaning } }) {
  return html`<tr>
    <th scope="row">${rule}</th>
    <td>${holds ? "holds" : html`<${Broken} level=${level} />`}</td>
    <td>${figure(value)}</td>
    <td>${figure(limit)}</td>
    <td>${meaning}</td>
  </tr>`;
}

/** @param {{ level: Schemas["Checked"]["level"] }} props */
const Broken = ({ level }) =>
  level === "hard"
    ? html`<strong class="down">broken</strong>`
    : html`<strong class="warned">broken, reported only</strong>`;

/** @param {number | null} value @returns {string} */
const figure = (value) => (value === null ? "" : value.toLocaleString("en", { maximumSignificantDigits: 4 }));
