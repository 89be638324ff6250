// Instruments that the users of this one also have.

import { ask } from "../api/client.js";
import { idOf } from "../api/json.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { whole } from "../state/format.js";
import { useNames } from "./instrument_name.js";
import { Sparkline } from "./sparkline.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const SHOWN = 10;
/** Lists change with each generation of the model, lines with each minute. */
const LIST_EVERY_MS = 30_000;
const LINES_EVERY_MS = 10_000;
const MINUTES = 60;

/** @param {{ instrument: number, query: Record<string, string> }} props */
export function Similar({ instrument, query }) {
  const { answer, problem } = useAnswer(
    `similar ${instrument}`,
    (signal) =>
      /** @type {Promise<Schemas["Similar"]>} */ (
        ask(`/v1/instruments/${instrument}/similar`, { query: { n: SHOWN }, signal })
      ),
    LIST_EVERY_MS,
  );
  const items = answer?.items ?? [];
  const lines = useLines(items.map(({ instrument_id }) => instrument_id));
  return html`
    <section class="panel similar" aria-labelledby="similar-title">
      <h2 id="similar-title">${answer?.source === "popular" ? "Popular instead" : "Similar"}</h2>
      ${problem?.status === 404
        ? html`<p class="note">${problem.message}.</p>`
        : html`<${Refusal} problem=${problem} />`}
      ${items.length > 0 && html`
        <table class="numbers">
          <${TableHead} titles=${["Instrument", "Last hour", "Score", "Support"]} />
          <tbody>
            ${items.map((item) => html`<${Row} key=${item.instrument_id} item=${item} query=${query}
              prices=${lines.get(item.instrument_id) ?? []} />`)}
          </tbody>
        </table>`}
      ${answer !== null && html`<p
        class="note">${answer.model}, variant ${answer.variant}, generation ${answer.generation}</p>`}
    </section>
  `;
}

/** @param {{ item: Schemas["SimilarInstrument"], query: Record<string, string>, prices: readonly number[] }} props */
function Row({ item, query, prices }) {
  const id = item.instrument_id;
  const { symbol } = useNames(id);
  return html`<tr>
    <th scope="row"><a href=${hrefOf("markets", String(id), query)}>${symbol}</a></th>
    <td><${Sparkline} prices=${prices} label="${symbol}, last hour" /></td>
    <td>${item.score < 1 ? item.score.toFixed(3) : whole(item.score)}</td>
    <td>${whole(item.support)}</td>
  </tr>`;
}

/** @param {readonly number[]} ids @returns {ReadonlyMap<number, number[]>} closes of the last hour, by instrument */
function useLines(ids) {
  const instruments = ids.join(",");
  const { answer } = useAnswer(
    ids.length > 0 ? `lines ${instruments}` : null,
    (signal) =>
      /** @type {Promise<Schemas["BarsOfMany"]>} */ (
        ask("/v1/bars", { query: { instruments, limit: MINUTES * ids.length }, signal })
      ),
    LINES_EVERY_MS,
  );
  return new Map(Object.entries(answer?.bars ?? {}).map(([id, bars]) => [idOf(id), bars.map(({ c }) => c)]));
}
