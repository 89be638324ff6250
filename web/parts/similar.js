// Instruments that the users of this one also have.

import { ask } from "../api/client.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { whole } from "../state/format.js";
import { useNames } from "./instrument_name.js";
import { TREND_COLORS, useLastHour } from "./last_hour.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const SHOWN = 10;
/** Lists change with each generation of the model. */
const EVERY_MS = 30_000;
/** @type {readonly import("./table_head.js").Title[]} */
const TITLES = [
  "Instrument",
  ["Last hour", TREND_COLORS],
  ["Score", "how similar, by the model"],
  ["Support", "users who have both"],
];
const LINE_WIDTH = 88;
const LINE_HEIGHT = 24;

/** @param {{ instrument: number, query: Record<string, string> }} props */
export function Similar({ instrument, query }) {
  const { answer, problem } = useAnswer(
    `similar ${instrument}`,
    (signal) =>
      /** @type {Promise<Schemas["Similar"]>} */ (
        ask(`/v1/instruments/${instrument}/similar`, { query: { n: SHOWN }, signal })
      ),
    EVERY_MS,
  );
  const items = answer?.items ?? [];
  const lines = useLastHour(items.map(({ instrument_id }) => instrument_id));
  return html`
    <section class="panel similar" aria-labelledby="similar-title">
      <h2 id="similar-title">${answer?.source === "popular" ? "Popular instead" : "Similar"}</h2>
      ${problem?.status === 404
        ? html`<p class="note">${problem.message}.</p>`
        : html`<${Refusal} problem=${problem} />`}
      ${items.length > 0 && html`
        <table class="numbers">
          <${TableHead} titles=${TITLES} />
          <tbody>
            ${items.map((item) => html`<${Row} key=${item.instrument_id} item=${item} query=${query}
              prices=${lines.get(item.instrument_id)?.closes ?? []} />`)}
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

/** @param {{ prices: readonly number[], label: string }} props oldest first */
function Sparkline({ prices, label }) {
  const first = prices[0];
  const last = prices.at(-1);
  if (first === undefined || last === undefined || prices.length < 2) {
    return html`<svg class="sparkline" width=${LINE_WIDTH} height=${LINE_HEIGHT} role="img"
      aria-label="${label}: no prices"></svg>`;
  }
  const trend = last >= first ? "up" : "down";
  return html`<svg class="sparkline ${trend}" width=${LINE_WIDTH} height=${LINE_HEIGHT} viewBox="0 0 ${LINE_WIDTH} ${LINE_HEIGHT}"
    role="img" aria-label="${label}: ${first} to ${last}"><polyline points=${pointsOf(prices)} /></svg>`;
}

/** @param {readonly number[]} prices at least two @returns {string} */
function pointsOf(prices) {
  const low = Math.min(...prices);
  const range = Math.max(...prices) - low || 1;
  const step = LINE_WIDTH / (prices.length - 1);
  const y = (/** @type {number} */ price) => LINE_HEIGHT - 2 - ((price - low) / range) * (LINE_HEIGHT - 4);
  return prices.map((price, n) => `${(n * step).toFixed(1)},${y(price).toFixed(1)}`).join(" ");
}
