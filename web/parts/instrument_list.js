// The instruments of the catalog: search as you type, and a list with the newest prices.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { digitsOf, price } from "../state/format.js";
import { Search } from "./instrument_search.js";

/** @typedef {import("../api/client.js").Schemas["Instruments"]} Listing */
/** @typedef {import("../api/client.js").Schemas["ListedInstrument"]} Listed */
/** @typedef {import("../api/bar_stream.js").LiveBar} LiveBar */
/** @typedef {ReadonlyMap<number, LiveBar>} Newest bars by instrument */

/** @type {readonly Listed[]} */
const NONE = [];
const LIST = "found";
/** Instruments come and go while the page is open. */
const EVERY_MS = 10_000;
const PAGE = 50;
const NOT_FOUND = "No instrument has such a symbol or name.";
const EMPTY = "The catalog is empty: describe instruments, or type an id into the address.";
/** The API's page size. */
const MOST = 1000;

/**
 * @param {object} props
 * @param {number | null} props.selected
 * @param {Newest} props.newest
 * @param {Record<string, string>} props.query
 * @param {(items: readonly Listed[]) => void} props.onListed
 */
export function InstrumentList({ selected, newest, query, onListed }) {
  const [search, setSearch] = useState("");
  const [n, setN] = useState(PAGE);
  const asked = { search: search.slice(0, 100), n, listed: true };
  const { answer, problem } = useAnswer(
    `instruments ${JSON.stringify(asked)}`,
    (signal) => ask("/v1/instruments", { query: asked, signal }),
    EVERY_MS,
  );
  const shown = useRef(/** @type {Listing | null} */ (null));
  if (answer !== null) shown.current = /** @type {Listing} */ (answer);
  const items = shown.current?.items ?? NONE;
  useEffect(() => onListed(items), [items]);
  const { active, move, enter, reset } = useChoice(items, search !== "", answer !== null, query);
  const more = shown.current?.next_page_token != null;
  const onSearch = (/** @type {string} */ typed) => {
    if (typed === search) return;
    setSearch(typed);
    setN(PAGE);
    reset();
  };
  return html`
    <section class="panel instruments" aria-label="Instruments">
      <${Search} list=${LIST} active=${active && optionOf(active)} open=${items.length > 0} onSearch=${onSearch}
        onMove=${move} onEnter=${enter} />
      <${Refusal} problem=${problem} />
      <div class="rows" id=${LIST} role="listbox" aria-label="Found" hidden=${items.length === 0}>
        ${items.map((item) => html`<${Item} key=${item.instrument_id} item=${item} query=${query}
          active=${item === active} selected=${item.instrument_id === selected}
          bar=${newest.get(item.instrument_id)} />`)}
      </div>
      ${shown.current !== null && items.length === 0 && html`<p class="note">${search ? NOT_FOUND : EMPTY}</p>`}
      ${more && n < MOST && html`<button type="button" onClick=${() => setN(Math.min(MOST, n * 4))}>More</button>`}
      ${more && n >= MOST && html`<p class="note">Showing the first ${MOST}: search for others.</p>`}
    </section>
  `;
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
 * @param {LiveBar | undefined} props.bar
 */
function Item({ item, query, active, selected, bar }) {
  const trend = bar && (bar.c >= bar.o ? "up" : "down");
  return html`<a id=${optionOf(item)} role="option" tabindex="-1" aria-selected=${String(active)}
    aria-current=${selected ? "true" : null} href=${hrefOf("markets", String(item.instrument_id), query)}>
    <span class="symbol">${item.symbol}</span>
    <span class="name">${item.name}</span>
    <span class="number ${trend}">${bar ? price(bar.c, digitsOf([bar.c])) : ""}</span>
  </a>`;
}
