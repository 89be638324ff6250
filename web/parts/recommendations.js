// A user's recommendations with their reasons, and what an act of the user changed.

import { useRef } from "preact/hooks";
import { Age } from "../shell/banner.js";
import { useNow } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { KINDS } from "../state/event_types.js";
import { anyOf, changesOf, mark, summaryOf } from "../state/changes.js";
import { whole } from "../state/format.js";
import { ActButton, KindChoice } from "./user_events.js";
import { NamedLink, SymbolLink, useNames } from "./instrument_name.js";
import { Explained, TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("./user_events.js").Acting} Acting */
/** @typedef {import("../state/changes.js").Changes} Changes */
/** @typedef {import("../shell/hooks.js").Answered<Schemas["Recommendations"]>} Found */

/** Sources of lists and of single items, in words. */
const SOURCES = {
  model: "the user's own list, precomputed by the trainer",
  history: "the user's history, folded in now",
  popular: "the most popular instruments",
  repeat: "what the user has already and may take again",
  new: "a new listing of a category that the user prefers",
  catalog: "others that the catalog has, by symbol",
};
/** @type {readonly import("./table_head.js").Title[]} */
const TITLES = [
  ...["#", "Instrument"],
  ["Because of", "what the user has that speaks most for it, or where else it comes from"],
  ["Score", "how well it fits the user, by the model: comparable within this list"],
];
/** After this time, an act is unlikely to change the answer. */
const PATIENCE_MS = 10_000;

/**
 * @param {object} props
 * @param {string} props.user
 * @param {Found} props.found
 * @param {Acting} props.acting
 * @param {import("preact").ComponentChildren} props.children controls of what is recommended
 */
export function Recommended({ user, found, acting, children }) {
  const { answer, atMs, problem } = found;
  const before = acting.last?.before ?? null;
  const changes = before === null || answer === null ? null : changesOf(before.items, answer.items);
  return html`
    <section class="panel recommended" aria-labelledby="user-title">
      <div class="tools">
        <div class="title">
          <h1 id="user-title">${user}</h1>
          ${atMs !== null && html`<span class="age">asked <${Age} ms=${atMs} /></span>`}
        </div>
        <${KindChoice} acting=${acting} />
      </div>
      ${children}
      <${Refusal} problem=${problem} />
      ${answer !== null && html`<${Origin} answer=${answer} />`}
      <${Outcome} acting=${acting} found=${found} changes=${changes} />
      ${answer !== null && html`<${List} answer=${answer} acting=${acting} changes=${changes} />`}
      ${answer?.items.length === 0 && html`<p
        class="note">Nothing to recommend: no generation is published, or nothing is left over.</p>`}
    </section>
  `;
}

/** @param {{ answer: Schemas["Recommendations"] }} props */
function Origin({ answer }) {
  return html`<dl aria-label="Where the recommendations come from">
    <div><dt>Source</dt><dd><strong>${answer.source}</strong>, ${SOURCES[answer.source]}</dd></div>
    <div><dt>Model</dt><dd>${answer.model}</dd></div>
    <div><dt>Variant</dt><dd>${answer.variant}</dd></div>
    <div><dt>Generation</dt><dd><a href=${hrefOf("models", answer.generation)}>${answer.generation}</a></dd></div>
  </dl>`;
}

/** @param {{ answer: Schemas["Recommendations"], acting: Acting, changes: Changes | null }} props */
function List({ answer, acting, changes }) {
  const marked = changes !== null && anyOf(changes);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Recommendations">
    <table class="numbers">
      <${TableHead} titles=${[...TITLES, marked ? "Moved" : ["", "Moved"], ["", "Act"]]} />
      <tbody>
        ${answer.items.map((item, place) => html`<${Row} key=${item.instrument_id} item=${item} place=${place + 1}
          of=${answer.source} moved=${changes?.moved.get(item.instrument_id)} acting=${acting} />`)}
      </tbody>
    </table>
  </div>`;
}

/**
 * @param {object} props
 * @param {Schemas["Recommended"]} props.item
 * @param {number} props.place from 1
 * @param {keyof typeof SOURCES} props.of where the list comes from
 * @param {number | "new" | undefined} props.moved
 * @param {Acting} props.acting
 */
function Row({ item, place, of, moved, acting }) {
  const { instrument_id: id, because } = item;
  const source = item.source ?? (because.length === 0 ? of : null);
  return html`<tr data-instrument=${id} class=${moved === undefined ? "" : "moved"}>
    <td class="place">${place}</td>
    <th scope="row"><${NamedLink} id=${id} /></th>
    <td class="because">${because.map((one, n) => html`${n > 0 && ", "}<${SymbolLink} key=${one} id=${one} />`)}
      ${source && html` <span class="badge"><${Explained} word=${source} why=${SOURCES[source]} /></span>`}</td>
    <td>${item.score < 1 ? item.score.toFixed(3) : whole(item.score)}</td>
    <td class="mark">${mark(moved)}</td>
    <td><${ActButton} acting=${acting} id=${id} /></td>
  </tr>`;
}

/** @param {{ acting: Acting, found: Found, changes: Changes | null }} props */
function Outcome({ acting: { last }, found, changes }) {
  const said = useOutcome(last, found, changes);
  return html`<p class=${last?.stage === "failed" ? "note refusal outcome" : "note outcome"} role="status">
    ${last === null
      ? "Choose what the user does, then an instrument: the event is published as the user's own, and counts."
      : html`<strong><${Done} act=${last} /></strong> ${said}`}
  </p>`;
}

/** @param {{ act: import("./user_events.js").Act }} props */
function Done({ act: { kind, instrument } }) {
  return `${KINDS[kind]} on ${useNames(instrument).symbol}:`;
}

/**
 * @param {import("./user_events.js").Act | null} act
 * @param {Found} found
 * @param {Changes | null} changes
 * @returns {string} the outcome
 */
function useOutcome(act, { answer, atMs }, changes) {
  const now = useNow();
  const first = useRef({ act, afterMs: /** @type {number | null} */ (null) });
  if (first.current.act !== act) first.current = { act, afterMs: null };
  if (act === null) return "";
  if (act.stage === "sending") return "publishing…";
  if (act.stage === "failed") return act.said;
  const other = changes !== null && (anyOf(changes) || answer?.source !== act.before?.source);
  if (other && atMs !== null) first.current.afterMs ??= Math.max(0, atMs - act.atMs);
  return `${afterwards(act, answer, changes, first.current.afterMs, now)}${act.said && ` ${act.said}`}`;
}

/**
 * @param {import("./user_events.js").Act} act
 * @param {Schemas["Recommendations"] | null} answer
 * @param {Changes | null} changes
 * @param {number | null} afterMs when the answer first differed
 * @param {number} now
 */
function afterwards(act, answer, changes, afterMs, now) {
  if (afterMs === null || changes === null) {
    return `published. ${now - act.atMs < PATIENCE_MS ? "Waiting for the answer to change…" : "No place changed."}`;
  }
  const from = act.before?.source;
  const other = answer !== null && from !== answer.source;
  const source = other ? ` It came from ${from}, and now from ${answer.source}.` : "";
  const moved = summaryOf(changes) || "the same places";
  return `the answer changed ${(afterMs / 1000).toFixed(1)} s later: ${moved}.${source}`;
}
