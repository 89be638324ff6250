// One instrument: its name, its current price, its chart, and the same data as a table.

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { answered } from "../api/requests.js";
import { Problem, ask } from "../api/client.js";
import { described } from "../api/instruments.js";
import { Age } from "../shell/banner.js";
import { useAnswer, useNow, useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { INTERVALS } from "../state/bars.js";
import { createChartBars } from "../state/chart_bars.js";
import { STALE_MS, change, count, digitsOf, hours, price, trendOf } from "../state/format.js";
import { BarsTable } from "./bars_table.js";
import { BAR_COLORS, CandleChart } from "./chart.js";
import { Explained } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/bars.js").Interval} Interval */
/** @typedef {import("../views/markets.js").Live} Live */

const SNAPSHOT_EVERY_MS = 2_000;
/** Minutes are dropped once a minute. */
const OLDEST_EVERY_MS = 30_000;
const PART = "earlier minutes of today (UTC) are no longer retained";

/**
 * @param {object} props
 * @param {number} props.instrument
 * @param {import("../shell/router.js").Place} props.place
 * @param {Interval} props.interval
 * @param {string} props.timezone of whose midnights bars of days begin
 * @param {Live} props.live
 * @param {import("preact").ComponentChildren} props.children
 */
export function Prices({ instrument, place, interval, timezone, live, children }) {
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
      ${children}
      <${Refusal} problem=${problem ?? live.problem} />
      ${loaded && bars.length === 0 && html`<p class="note">It has no stored bars.</p>`}
      <${CandleChart} bars=${bars} loaded=${loaded} interval=${interval} digits=${digits} onEarlier=${loadEarlier}
        label="Candles of ${caption}${newestPrice}; ${BAR_COLORS}. The button Table shows all of them." />
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
  const covered = useCovered(instrument, day);
  const stale = useNow() - (quote?.ts ?? Infinity) >= STALE_MS;
  const newest = last ?? quote?.price ?? null;
  if (newest === null) return html`<div class="standing"></div>`;
  const by = day && newest / day.o - 1;
  return html`<div class="standing ${stale ? "stale" : ""}">
    <span class="last">${price(newest, digits)}</span>
    ${by !== null && html`<span class="number ${trendOf(by)}">${change(by)}</span>`}
    ${day && html`<span class="age covered">${day.partial ? html`<${Explained} word=${covered} why=${PART} />` : covered}</span>`}
    ${quote && html`<span class=${stale ? "badge warned" : ""}>${stale && "stale, "}<${Age} ms=${quote.ts} /></span>`}
    ${day && html`<dl aria-label="Figures ${covered}">
      ${Object.entries({ Open: day.o, High: day.h, Low: day.l }).map(([name, value]) => html`<div
        key=${name}><dt>${name}</dt><dd>${price(value, digits)}</dd></div>`)}
      <div><dt>Volume</dt><dd>${count(day.v)}</dd></div>
    </dl>`}
  </div>`;
}

/** @param {number} instrument @param {Schemas["Bar"] | null} day @returns {string} what the day's figures cover */
function useCovered(instrument, day) {
  const { answer } = useAnswer(
    day?.partial ? `oldest ${instrument}` : null,
    (signal) =>
      /** @type {Promise<Schemas["Bars"]>} */ (
        ask(`/v1/instruments/${instrument}/bars`, { query: { start: 0, limit: 1 }, signal })
      ),
    OLDEST_EVERY_MS,
  );
  if (!day?.partial) return "today (UTC)";
  const oldest = answer?.bars[0]?.t ?? day.t;
  return oldest > day.t ? `since ${hours(oldest)}` : "for a part of today"; // the archive may have a gap
}

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
