// Rejected records: counts by reason and, with an admin key, the records themselves.

import { useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { Age } from "../shell/banner.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { minute, whole } from "../state/format.js";
import { adminKey } from "../state/session.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../api/client.js").Problem} Problem */

const ALL = "all";
const SHOWN = 50;
const MAY_BE_MISSING = "The newest may be missing";
const NEEDS_KEY = " Records may be about people, so they need a key that has the scope admin.";

/** @param {{ pipeline: Schemas["Pipeline"] }} props */
export function Rejected({ pipeline: { topics, kafka } }) {
  const [open, setOpen] = useState(false);
  const reasons = topics.flatMap(({ topic, reasons }) => reasons.map((reason) => ({ topic, ...reason })));
  reasons.sort((one, other) => other.last_at_ms - one.last_at_ms);
  return html`
    <section class="panel" aria-labelledby="rejected-title">
      <div class="tools">
        <h2 id="rejected-title">Dead letters, by reason</h2>
        <button type="button" aria-pressed=${open} onClick=${() => setOpen(!open)}>Records</button>
      </div>
      ${reasons.length === 0
        ? html`<p class=${kafka === "ok" ? "note" : "note refusal"}>${withoutReasons(topics, kafka)}</p>`
        : html`<${Reasons} reasons=${reasons} />`}
      ${reasons.length > 0 && kafka !== "ok" && html`<p class="note refusal">${MAY_BE_MISSING}: ${kafka}</p>`}
      ${open && html`<${Records} topics=${topics.map(({ topic }) => topic)} />`}
    </section>
  `;
}

/**
 * @param {readonly Schemas["TopicState"][]} topics without reasons
 * @param {string} kafka `ok`, or why the reasons are not known
 * @returns {string} what that means
 */
function withoutReasons(topics, kafka) {
  if (kafka !== "ok") return `Whether and why records were rejected is not known: ${kafka}`;
  const none = topics.every(({ dead_letters }) => dead_letters === 0);
  return none ? "No record was rejected in the last 30 days." : "Why records were rejected is not known yet.";
}

/** @param {{ reasons: readonly (Schemas["LetterReason"] & { topic: string })[] }} props the latest first */
function Reasons({ reasons }) {
  return html`<div class="wide" tabindex="0" role="region" aria-label="Reasons">
    <table class="numbers reasons">
      <${TableHead} titles=${["Topic", "Reason", "Of the newest 500", "Last"]} />
      <tbody>
        ${reasons.map((of) => html`<tr key="${of.topic} ${of.reason}">
          <th scope="row">${of.topic}</th>
          <td class="reason">${of.reason}</td>
          <td>${whole(of.count)}</td>
          <td><${Age} ms=${of.last_at_ms} /></td>
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{ topics: readonly string[] }} props Requested once, and again by the button, as a moving list cannot be
read. */
function Records({ topics }) {
  const [topic, setTopic] = useState(ALL);
  const [round, setRound] = useState(0);
  const { answer, atMs, problem } = useAnswer(`dead letters ${topic} ${round}`, (signal) =>
    /** @type {Promise<Schemas["DeadLetters"]>} */ (
      ask("/v1/pipeline/dead_letters", { query: { topic, limit: SHOWN }, asAdmin: true, signal })
    ),
  );
  const again = () => setRound(round + 1);
  const choose = (/** @type {{ currentTarget: HTMLSelectElement }} */ { currentTarget: { value } }) => setTopic(value);
  return html`
    <div class="records">
      <div class="tools">
        <label>Topic
          <select value=${topic} onChange=${choose}>
            ${[ALL, ...topics].map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
          </select>
        </label>
        <button type="button" onClick=${again}>Ask again</button>
      </div>
      <${Locked} problem=${problem} onKey=${again} />
      ${answer && answer.kafka !== "ok" && html`<p class="note refusal"
        role="status">${MAY_BE_MISSING}: ${answer.kafka}</p>`}
      ${answer && atMs !== null && (answer.kafka === "ok" || answer.dead_letters.length > 0) && html`<p class="note">
        <span role="status">${countOf(answer.dead_letters.length)}</span>, as of <${Age} ms=${atMs} />
      </p>`}
      ${answer && html`<ol aria-label="Rejected records">
        ${answer.dead_letters.map((letter) => html`<${Record} letter=${letter}
          key="${letter.topic} ${letter.partition} ${letter.offset} ${letter.rejected_at_ms}" />`)}
      </ol>`}
    </div>
  `;
}

/** @param {number} n records that were found @returns {string} */
const countOf = (n) => (n === 0 ? "No record was rejected" : `The newest ${n}, newest first`);

/** @param {{ problem: Problem | null, onKey: () => void }} props why there is no answer */
function Locked({ problem, onKey }) {
  if (problem === null) return null;
  const take = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const typed = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get("admin-key");
    adminKey.update(() => String(typed ?? "").trim());
    onKey();
  };
  const needsKey = problem.status === 401 || problem.status === 403;
  return html`
    <p class="note refusal" role="alert">${problem.message}.${needsKey && NEEDS_KEY}</p>
    ${needsKey && html`<form class="unlock" onSubmit=${take}>
      <label>Admin key, sent only where it is needed, and forgotten when the page is closed
        <input name="admin-key" type="password" autocomplete="off" spellcheck=${false} required />
      </label>
      <button class="primary">Show the records</button>
    </form>`}
  `;
}

/** @param {{ letter: Schemas["DeadLetter"] }} props */
function Record({ letter }) {
  const { topic, partition, offset, rejected_at_ms: atMs, reason, key, value, value_bytes: bytes } = letter;
  const place = partition === null || offset === null
    ? "not written by a worker"
    : `partition ${partition}, offset ${whole(offset)}`;
  return html`<li>
    <p><b>${topic}</b> <span class="age">${place}, ${minute(atMs)}, <${Age} ms=${atMs} /></span></p>
    <p class="reason">${reason}</p>
    <p class="age">${key === null ? "No key" : html`Key <code>${key}</code>`}; ${whole(bytes)} bytes</p>
    ${value !== null && html`<pre tabindex="0">${value}</pre>`}
  </li>`;
}
