// The workers' progress, by topic and partition.

import { useState } from "preact/hooks";
import { useNow } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { ago, whole } from "../state/format.js";
import { foldedAgeMs, perSecond, standingOfWorkers } from "../state/pipeline.js";
import { Sign } from "./standings.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/pipeline.js").Level} Level */

const UNKNOWN = "–";
const TITLES = [
  ...["Topic", "State", "Records a second", "Lag", "Next offset", "End of the log", "Last folded"],
  "Dead letters, 30 days",
];
/** @type {Readonly<Record<Schemas["PartitionState"]["state"], Level>>} */
const LEVELS = {
  stalled: "bad",
  "held back": "warn",
  behind: "well",
  unknown: "unknown",
  new: "well",
  current: "well",
};
const WORDS = { bad: "failing", warn: "look", unknown: "not known", well: "well" };

/** @param {number | null} value @param {(value: number) => string} shown */
const or = (value, shown) => (value === null ? UNKNOWN : shown(value));

/** @param {{ topics: readonly Schemas["TopicState"][], atMs: number }} props time of the states, ms since the epoch */
export function Topics({ topics, atMs }) {
  const [open, setOpen] = useState(false);
  return html`
    <section class="panel" aria-labelledby="topics-title">
      <div class="tools">
        <h2 id="topics-title">Workers, by topic</h2>
        <button type="button" aria-pressed=${open} onClick=${() => setOpen(!open)}>Partitions</button>
      </div>
      <div class="wide" tabindex="0" role="region" aria-label="Workers, by topic and partition">
        <table class="numbers">
          <${TableHead} titles=${TITLES} />
          ${topics.map((topic) => html`<${Topic} key=${topic.topic} topic=${topic} open=${open} atMs=${atMs} />`)}
        </table>
      </div>
      ${topics.some(({ dead_letters: n }) => n) && html`<p class="note">
        <code>python -m operations.topics dead-letters</code> lists the dead letters with their reasons.</p>`}
      ${topics.map(({ late }) => !!late && html`<p class="note">${whole(late)} quotes were older than what is retained
        of their instruments when they were folded: they made no bar.</p>`)}
    </section>
  `;
}

/** @param {{ topic: Schemas["TopicState"], open: boolean, atMs: number }} props */
function Topic({ topic, open, atMs }) {
  const { level } = standingOfWorkers(topic, atMs);
  return html`<tbody>
    <tr class="topic">
      <th scope="row">${topic.topic}</th>
      <td><${Sign} level=${level} />${WORDS[level]}</td>
      <td>${or(topic.rate, perSecond)}</td>
      <td>${or(topic.lag, whole)}</td>
      <td></td>
      <td></td>
      <td><${Folded} ageMs=${foldedAgeMs(topic)} atMs=${atMs} /></td>
      <td>${or(topic.dead_letters, whole)}</td>
    </tr>
    ${open && topic.partitions.map((partition) => html`<${Partition} key=${partition.partition}
      of=${partition} atMs=${atMs} />`)}
  </tbody>`;
}

/** @param {{ of: Schemas["PartitionState"], atMs: number }} props */
function Partition({ of, atMs }) {
  return html`<tr class="partition">
    <th scope="row">partition ${of.partition}</th>
    <td><${Sign} level=${LEVELS[of.state]} />${of.state}</td>
    <td></td>
    <td>${or(of.lag, whole)}</td>
    <td>${or(of.next, whole)}</td>
    <td>${or(of.end, whole)}</td>
    <td><${Folded} ageMs=${of.age_ms} atMs=${atMs} /></td>
    <td></td>
  </tr>`;
}

/** @param {{ ageMs: number | null, atMs: number }} props its age then */
function Folded({ ageMs, atMs }) {
  const now = useNow();
  return html`<span class="age">${ageMs === null ? "never" : ago(now - atMs + ageMs)}</span>`;
}
