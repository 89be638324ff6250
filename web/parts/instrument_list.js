// The instruments of the catalog: search as you type, and a list with the newest prices.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { useAnswer, useLast, useNow } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { STALE_MS, change, count, digitsOf, hours, price, span, trendOf } from "../state/format.js";
import { Search } from "./instrument_search.js";
import { MOST, TREND_COLORS, useLastHour } from "./last_hour.js";
import { Explained } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas["Instruments"]} Listing */
/** @typedef {import("../api/client.js").Schemas["ListedInstrument"]} Listed */
/** @typedef {import("../api/bar_stream.js").LiveBar} LiveBar */
/** @typedef {ReadonlyMap<number, LiveBar>} Newest bars by instrument */
/** @typedef {import("./last_hour.js").Hour} Hour */

/** @type {readonly Listed[]} */
const NONE = [];
const LIST = "found";
/** Instruments come and go while the page is open. */
const EVERY_MS = 10_000;
const NOT_FOUND = "No instrument has such a symbol or name.";
const EMPTY = "The catalog is empty: describe instruments, or type an id into the address.";
/** @type {Readonly<Record<string, (hour: Hour) => number>>} What the list is sorted by, greatest first, if not by symbol. */
const SORTS = { Change: (hour) => changeOf(hour), Volume: ({ volume }) => volume };

/** @param {Hour} hour @param {number} [last] the newest price, if it is newer @returns {number} 0.01 is one percent */
const changeOf = ({ open, closes }, last = closes.at(-1) ?? open) => last / open - 1;

/**
 * @param {object} props
 * @param {number | null} props.selected
 * @param {Newest} props.newest
 * @param {Record<string, string>} props.query
 * @param {(items: readonly Listed[]) => void} props.onListed
 */
export function InstrumentList({ selected, newest, query, onListed }) {
  const [search, setSearch] = useState("");
  const asked = { search: search.slice(0, 100), n: MOST, listed: true };
  const { answer, problem } = useAnswer(
    `instruments ${JSON.stringify(asked)}`,
    (signal) => ask("/v1/instruments", { query: asked, signal }),
    EVERY_MS,
  );
  const shown = useLast(/** @type {Listing | null} */ (answer));
  const listed = shown?.items ?? NONE;
  useEffect(() => onListed(listed), [listed]);
  const lastHour = useLastHour(listed.map(({ instrument_id }) => instrument_id));
  const [sort, setSort] = useState("Symbol");
  const items = useMemo(() => sorted(listed, lastHour, SORTS[sort]), [listed, lastHour, sort]);
  const now = useNow();
  const { active, move, enter, reset } = useChoice(items, search !== "", answer !== null, query);
  const onSearch = (/** @type {string} */ typed) => {
    if (typed === search) return;
    setSearch(typed);
    reset();
  };
  return html`
    <section class="panel instruments" aria-label="Instruments">
      <${Search} list=${LIST} active=${active && optionOf(active)} open=${items.length > 0} onSearch=${onSearch}
        onMove=${move} onEnter=${enter} />
      <div class="tools sorts" role="group" aria-label="Sort">
        ${["Symbol", ...Object.keys(SORTS)].map((name) => html`<button key=${name} type="button" class="quiet"
          aria-pressed=${name === sort} onClick=${() => setSort(name)}>${name}</button>`)}
        <span class="age"><${Explained} word="last 60 min" why="${sinceOf(lastHour)}. Change is ${TREND_COLORS}" /></span>
      </div>
      <${Refusal} problem=${problem} />
      <div class="rows" id=${LIST} role="listbox" aria-label="Found" hidden=${items.length === 0}>
        ${items.map((item) => html`<${Item} key=${item.instrument_id} item=${item} query=${query}
          active=${item === active} selected=${item.instrument_id === selected} now=${now}
          bar=${newest.get(item.instrument_id)} hour=${lastHour.get(item.instrument_id)} />`)}
      </div>
      ${shown === null && problem === null && html`<p class="note">Loading…</p>`}
      ${shown !== null && items.length === 0 && html`<p class="note">${search ? NOT_FOUND : EMPTY}</p>`}
      ${shown?.next_page_token != null && html`<p class="note">The first ${MOST} by symbol: search for others.</p>`}
    </section>
  `;
}

/** @param {ReadonlyMap<number, Hour>} lastHour @returns {string} what the figures cover */
const sinceOf = (lastHour) =>
  lastHour.size > 0 ? `change and volume since ${hours(Math.min(...[...lastHour.values()].map(({ sinceMs }) => sinceMs)))}` : "no quotes";

/**
 * @param {readonly Listed[]} items
 * @param {ReadonlyMap<number, Hour>} lastHour
 * @param {((hour: Hour) => number) | undefined} by none: they stay as they are
 * @returns {readonly Listed[]} the greatest first, those without quotes last
 */
function sorted(items, lastHour, by) {
  if (by === undefined) return items;
  const valueOf = (/** @type {Listed} */ { instrument_id }) => {
    const hour = lastHour.get(instrument_id);
    return hour ? by(hour) : -Infinity;
  };
  return items.toSorted((one, other) => Math.sign(valueOf(other) - valueOf(one)) || 0);
}

/**
 * Choosing one of the items by keys.
 *
 * @param {readonly Listed[]} items
 * @param {boolean} searched
 * @param {boolean} found whether they are what was searched for last
 * @param {Record<string, string>} query of the address
 */
function useChoice(items, searched, found, query) {
  const [id, setId] = useState(/** @type {number | null} */ (null));
  // State, not a ref: an effect of an earlier rendering may run after Enter, and must not act on it.
  const [entering, setEntering] = useState(false);
  const place = items.findIndex(({ instrument_id }) => instrument_id === id);
  const active = items[place] ?? null;
  const move = (/** @type {1 | -1} */ step) => {
    const next = items[Math.min(items.length - 1, Math.max(0, place + step))];
    if (next) setId(next.instrument_id);
  };
  useEffect(() => {
    if (active) document.getElementById(optionOf(active))?.scrollIntoView({ block: "nearest" });
  }, [active?.instrument_id]);
  // Enter may come before the answer to what was typed: then the first of that is chosen.
  useEffect(() => {
    if (!entering || !found) return;
    const item = active ?? (searched ? items[0] : undefined);
    setEntering(false);
    if (item) location.hash = hrefOf("markets", String(item.instrument_id), query);
  });
  const enter = () => setEntering(true);
  const reset = () => {
    setEntering(false);
    setId(null);
  };
  return { active, move, enter, reset };
}

/** @param {Listed} item @returns {string} the id of its element */
const optionOf = ({ instrument_id }) => `${LIST}-${instrument_id}`;

/**
 * @param {object} props
 * @param {Listed} props.item
 * @param {Record<string, string>} props.query
 * @param {boolean} props.active whether the arrow keys reached it
 * @param {boolean} props.selected whether its prices are shown
 * @param {number} props.now ms since the epoch
 * @param {LiveBar | undefined} props.bar
 * @param {Hour | undefined} props.hour
 */
function Item({ item, query, active, selected, now, bar, hour }) {
  const last = bar?.c ?? hour?.closes.at(-1);
  const by = hour && changeOf(hour, last);
  const quietMs = bar ? now - bar.t - 60_000 : 0; // since the end of its last minute with a quote
  const stale = quietMs >= STALE_MS;
  return html`<a class=${stale ? "stale" : null} id=${optionOf(item)} role="option" tabindex="-1" aria-selected=${String(active)}
    aria-current=${selected ? "true" : null} href=${hrefOf("markets", String(item.instrument_id), query)}>
    <span class="symbol">${item.symbol}</span>
    <span class="name">${item.name}</span>
    <span class="number price">${last !== undefined && price(last, digitsOf([last]))}</span>
    <span class="number by ${trendOf(by)}">${by !== undefined && change(by)}</span>
    <span class="number age old">${stale && `${span(quietMs)} old`}</span>
    <span class="number age">${hour && count(hour.volume)}</span>
  </a>`;
}
