// The overall status line, and the list of problems, worst first.

import { Age } from "../shell/banner.js";
import { useNow } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { clock, minute, span } from "../state/format.js";
import { verdictOf } from "../state/pipeline.js";

/** @typedef {import("../state/pipeline.js").Standing} Standing */
/** @typedef {import("../state/pipeline.js").Level} Level */

/** Signs and words, so that color is not the only
cue. @type {Readonly<Record<Level, [sign: string, word: string]>>} */
const LOOKS = { bad: ["✕", "Failing"], warn: ["!", "Look"], unknown: ["?", "Not known"], well: ["✓", "Well"] };
/** Older times are shown with their day. */
const DAY_MS = 86_400_000;

/** @param {{ all: readonly Standing[], atMs: number | null }} props worst first; when the pipeline's state was
received */
export function Standings({ all, atMs }) {
  const verdict = verdictOf(all);
  const wrong = all.filter(({ level }) => level !== "well");
  const well = all.filter(({ level }) => level === "well");
  return html`
    <section class="panel standings ${verdict.level}" aria-labelledby="pipeline-title">
      <div class="tools">
        <div class="title">
          <h1 id="pipeline-title">Pipeline</h1>
          <strong class="verdict ${verdict.level}" role="status"
            ><${Sign} level=${verdict.level} />${verdict.says}</strong>
        </div>
        ${atMs !== null && html`<span class="age">as of <${Age} ms=${atMs} /></span>`}
      </div>
      ${wrong.length > 0 && html`<ul class="wrong" aria-label="Not well">
        ${wrong.map((of) => html`<${Wrong} key=${of.subject} of=${of} />`)}
      </ul>`}
      ${well.length > 0 && html`<ul class="fine" aria-label="Well">
        ${well.map(({ subject, says }) => html`<li key=${subject}
          ><${Sign} level="well" /><b>${subject}</b> <span class="age">${says}</span></li>`)}
      </ul>`}
    </section>
  `;
}

/** @param {{ of: Standing }} props */
function Wrong({ of: { subject, level, says, sinceMs } }) {
  const now = useNow();
  const since = now - (sinceMs ?? now) < DAY_MS ? clock : minute;
  return html`<li class=${level}>
    <${Sign} level=${level} />
    <span class="word">${LOOKS[level][1]}</span>
    <b>${subject}</b>
    <span class="says">${says}</span>
    ${sinceMs !== null && html`<span class="age">since ${since(sinceMs)}, ${span(now - sinceMs)}</span>`}
  </li>`;
}

/** @param {{ level: Level }} props */
export function Sign({ level }) {
  return html`<span class="sign ${level}" aria-hidden="true">${LOOKS[level][0]}</span>`;
}
