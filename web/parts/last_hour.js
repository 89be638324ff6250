// The workers' progress over the last hour: a line for each topic and measure, or a table.

import { useMemo, useState } from "preact/hooks";
import { Age } from "../shell/banner.js";
import { html } from "../shell/html.js";
import { clock } from "../state/format.js";
import { MEASURES, lineInWords, newestKnown, slotsOf, sparse } from "../state/pipeline.js";
import { Line } from "./line.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Schemas["PipelineHistory"]} History */
/** @typedef {Schemas["TopicHistory"]} TopicHistory */
/** @typedef {import("../state/pipeline.js").Measure} Measure */

const HOUR_MS = 3_600_000;
/** Rows of the table, which are a minute apart once the hour is full. */
const ROWS = 60;

/** @param {{ history: History, atMs: number }} props when the history was received, ms since the epoch */
export function LastHour({ history, atMs }) {
  const [asTable, setAsTable] = useState(false);
  const [place, setPlace] = useState(/** @type {number | null} */ (null));
  const slots = useMemo(() => slotsOf(history, atMs - HOUR_MS, atMs), [history, atMs]);
  const at = place === null ? undefined : history.ts[place];
  return html`
    <section class="panel" aria-labelledby="hour-title">
      <div class="tools">
        <div class="title">
          <h2 id="hour-title">Last hour</h2>
          <span class="age">${at === undefined ? html`as of <${Age} ms=${atMs} />` : `at ${clock(at)}`}</span>
        </div>
        <button type="button" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>Table</button>
      </div>
      ${history.ts.length === 0 && html`<p
        class="note">The first sample comes in ${Math.round(history.every_ms / 1000)} s.</p>`}
      ${asTable
        ? html`<${Table} history=${history} />`
        : history.topics.map((topic) => html`<${Row} key=${topic.topic} topic=${topic} ts=${history.ts} slots=${slots}
            place=${place} onPlace=${setPlace} />`)}
      <p class="note">As the API process that answered saw it since it began, at ${clock(history.since_ms)}.</p>
    </section>
  `;
}

/**
 * @typedef {object} Drawn
 * @property {TopicHistory} topic
 * @property {readonly number[]} ts
 * @property {readonly import("../state/pipeline.js").Slot[]} slots
 * @property {number | null} place
 * @property {(place: number | null) => void} onPlace
 */

/** @param {Drawn} props */
function Row(props) {
  const { topic } = props;
  return html`<div class="lines" role="group" aria-label=${topic.topic}>
    <h3>${topic.topic}</h3>
    ${MEASURES.map((measure) => html`<${Cell} key=${measure.name} measure=${measure} ...${props} />`)}
  </div>`;
}

/** @param {Drawn & { measure: Measure }} props */
function Cell({ topic, measure, ts, slots, place, onPlace }) {
  const values = topic[measure.name];
  const newest = newestKnown(values);
  const value = values[place ?? newest] ?? null;
  // The newest sample may be empty: then the time of the figure is shown.
  const old = place === null && newest >= 0 && newest < values.length - 1;
  return html`<div class="cell">
    <span class="age">${measure.title}</span>
    <b class="number">${shownOf(measure, value)}${old && html` <span
      class="age">at ${clock(ts[newest] ?? 0)}</span>`}</b>
    <${Line} slots=${slots} values=${values} place=${place}
      label="${topic.topic}, ${lineInWords(measure, values)}" onPlace=${onPlace} />
  </div>`;
}

/** @param {{ history: History }} props */
function Table({ history }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Last hour, as a table">
    <table class="numbers hour">
      <thead>
        <tr>
          <th scope="col" rowspan="2">Time</th>
          ${history.topics.map(({ topic }) => html`<th key=${topic} scope="colgroup"
            colspan=${MEASURES.length}>${topic}</th>`)}
        </tr>
        <tr>${history.topics.map(({ topic }) => MEASURES.map(({ name, title }) => html`<th key="${topic} ${name}"
          scope="col">${title}</th>`))}</tr>
      </thead>
      <tbody>
        ${sparse(history, ROWS).map((row) => html`<tr key=${history.ts[row]}>
          <th scope="row">${clock(history.ts[row] ?? 0)}</th>
          ${history.topics.map((topic) => MEASURES.map((measure) => html`<td
            key="${topic.topic} ${measure.name}">${shownOf(measure, topic[measure.name][row] ?? null)}</td>`))}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {Measure} measure @param {number | null} value */
const shownOf = ({ shown }, value) => (value === null ? "–" : shown(value));
