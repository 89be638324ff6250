// One instrument: its name, its current price, its chart, and the same data as a table.

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { answered } from "../api/requests.js";
import { Problem, ask } from "../api/client.js";
import { described } from "../api/instruments.js";
import { Age } from "../shell/banner.js";
import { useAnswer, useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { INTERVALS } from "../state/bars.js";
import { createChartBars } from "../state/chart_bars.js";
import { change, count, digitsOf, price } from "../state/format.js";
import { BarsTable } from "./bars_table.js";
import { CandleChart } from "./chart.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/bars.js").Interval} Interval */
/** @typedef {import("../views/markets.js").Live} Live */

const SNAPSHOT_EVERY_MS = 2_000;

/**
 * @param {object} props
 * @param {number} props.instrument
 * @param {import("../shell/router.js").Place} props.place
 * @param {Interval} props.interval
 * @param {string} props.timezone of whose midnights bars of days begin
 * @param {Live} props.live
 */
export function Prices({ instrument, place, interval, timezone, live }) {
  const { answer: entry } = useAnswer(`instrument ${instrument}`, () => described(instrument));
  const { bars, loaded, complete, problem, loadEarlier } = useChartBars(instrument, interval, timezone, live);
  const [asTable, setAsTable] = useState(false);
  const symbol = entry?.symbol ?? String(instrument);
  const newest = live.newest.get(instrument) ?? null;
  const digits = useMemo(() => digitsOf(bars.slice(-100).flatMap(({ h, l }) => [h, l])), [bars]);
  const caption = `${symbol}, bars of ${interval}`;
  const newestPrice = newest ? `, newest price ${price(newest.c, digits)}` : "";
  return html`
    <section class="panel prices" aria-labelledby="instrument-title">
      <${Title} described=${entry} symbol=${symbol} />
      <${Standing} instrument=${instrument} last=${newest?.c ?? null} digits=${digits} />
      <div class="tools">
        <div role="group" aria-label="Interval">
          ${[...new Set([...INTERVALS, interval])].map((name) => html`<a key=${name} class="choice"
            aria-current=${name === interval ? "true" : null}
            href=${hrefOf("markets", place.subject || String(instrument), name === "1m" ? {} : { interval: name })}>${name}</a>`)}
        </div>
        <button type="button" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>Table</button>
      </div>
      <${Refusal} problem=${problem ?? live.problem} />
      ${loaded && bars.length === 0 && html`<p class="note">It has no stored bars.</p>`}
      <${CandleChart} bars=${bars} interval=${interval} onEarlier=${loadEarlier}
        label="Candles of ${caption}${newestPrice}. The button Table shows all of them." />
      ${asTable && html`<${BarsTable} bars=${bars} complete=${complete} digits=${digits} caption=${caption}
        onEarlier=${loadEarlier} />`}
    </section>
  `;
}

/** @param {{ described: Schemas["DescribedInstrument"] | null, symbol: string }} props */
function Title({ described, symbol }) {
  return html`<div class="title">
    <h1 id="instrument-title">${symbol}</h1>
    <span class="name">${described?.name ?? ""}</span>
    ${described?.categories.map((category) => html`<span class="badge">${category}</span>`)}
    ${described?.listed === false && html`<span class="badge">not listed</span>`}
  </div>`;
}

/**
 * @param {{ instrument: number, last: number | null, digits: number }} props
 *   last: the live price, which is newer than the requested one
 */
function Standing({ instrument, last, digits }) {
  const { answer } = useAnswer(
    `snapshot ${instrument}`,
    (signal) =>
      /** @type {Promise<Schemas["Snapshots"]>} */ (
        ask("/v1/snapshots", { query: { instruments: String(instrument) }, signal })
      ),
    SNAPSHOT_EVERY_MS,
  );
  const { quote = null, day = null } = answer?.snapshots[String(instrument)] ?? {};
  const newest = last ?? quote?.price ?? null;
  if (newest === null) return html`<div class="standing"></div>`;
  const since = day ? newest / day.o - 1 : null;
  const trend = since === null ? "" : since >= 0 ? "up" : "down";
  return html`<div class="standing">
    <span class="last">${price(newest, digits)}</span>
    ${since !== null && html`<span class="number ${trend}">${change(since)}</span>`}
    ${quote && html`<${Age} ms=${quote.ts} />`}
    ${day && html`<dl aria-label="Today, UTC">
      <div><dt>Today</dt></div>
      ${Object.entries(figuresOf(day, digits)).map(([name, value]) => html`<div
        key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>`}
  </div>`;
}

/** @param {Schemas["Bar"]} day @param {number} digits @returns {Record<string, string>} by their titles */
const figuresOf = ({ o, h, l, v, n }, digits) => ({
  ...{ Open: price(o, digits), High: price(h, digits), Low: price(l, digits) },
  ...{ Volume: count(v), Quotes: count(n) },
});

/** @param {number} instrument @param {Interval} interval @param {string} timezone @param {Live} live */
function useChartBars(instrument, interval, timezone, live) {
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const { chart, ending, guarded } = useMemo(() => {
    const ending = new AbortController();
    const question = `bars ${instrument} ${interval} ${timezone}`;
    // The API rejects a time zone for shorter bars, which do not depend on it.
    const zoned = timezone === "UTC" ? {} : { timezone };
    const chart = createChartBars(interval, (range) =>
      answered(
        question,
        async () => {
          const query = { interval, ...zoned, ...range };
          const found = await ask(`/v1/instruments/${instrument}/bars`, { query, signal: ending.signal });
          return /** @type {Schemas["Bars"]} */ (found);
        },
        ending.signal,
      ),
    );
    /** @param {Promise<void>} work */
    const guarded = (work) =>
      work.then(
        () => setProblem(null),
        (error) => {
          if (ending.signal.aborted) return;
          if (!(error instanceof Problem)) throw error;
          setProblem(error);
        },
      );
    return { chart, ending, guarded };
  }, [instrument, interval, timezone]);
  useEffect(() => () => ending.abort(), [ending]);
  // The stream is open by then, or about to be: either of the two has any bar in between.
  useEffect(() => void guarded(chart.loadNewest()), [chart, live.lives]);
  useEffect(
    () =>
      live.listen((bars) => {
        const own = bars.filter((bar) => bar.instrument_id === instrument);
        if (own.length > 0) guarded(chart.take(own));
      }),
    [chart, live.listen],
  );
  const loadEarlier = useCallback(() => void guarded(chart.loadEarlier()), [chart]);
  return { ...useStore(chart.store), problem, loadEarlier };
}
