// The instruments of the catalog: search as you type, and a list with the newest prices.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { digitsOf, price } from "../state/format.js";

/** @typedef {import("../api/client.js").Schemas["Instruments"]} Listing */
/** @typedef {import("../api/client.js").Schemas["ListedInstrument"]} Listed */
/** @typedef {import("../api/bar_stream.js").LiveBar} LiveBar */
/** @typedef {ReadonlyMap<number, LiveBar>} Newest bars by instrument */

/** @type {readonly Listed[]} */
const NONE = [];
const PAUSE_MS = 150;
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
  const more = shown.current?.next_page_token != null;
  return html`
    <section class="panel instruments" aria-label="Instruments">
      <${Search} onSearch=${(/** @type {string} */ typed) => { setSearch(typed); setN(PAGE); }} />
      <${Refusal} problem=${problem} />
      <ul class="rows" aria-label="Found">
        ${items.map((item) => html`<${Item} key=${item.instrument_id} item=${item} query=${query}
          selected=${item.instrument_id === selected} bar=${newest.get(item.instrument_id)} />`)}
      </ul>
      ${shown.current !== null && items.length === 0 && html`<p class="note">${search ? NOT_FOUND : EMPTY}</p>`}
      ${more && n < MOST && html`<button type="button" onClick=${() => setN(Math.min(MOST, n * 4))}>More</button>`}
      ${more && n >= MOST && html`<p class="note">Showing the first ${MOST}: search for others.</p>`}
    </section>
  `;
}

/** @param {{ onSearch: (typed: string) => void }} props called when typing pauses */
function Search({ onSearch }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  /** @param {Event} event */
  const typed = (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.currentTarget);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onSearch(value.trim()), PAUSE_MS);
  };
  return html`<input class="search" type="search" aria-label="Search by symbol or name" placeholder="Symbol or name"
    autocomplete="off" spellcheck=${false} onInput=${typed} />`;
}

/** @param {{ item: Listed, query: Record<string, string>, selected: boolean, bar: LiveBar | undefined }} props */
function Item({ item, query, selected, bar }) {
  const trend = bar && (bar.c >= bar.o ? "up" : "down");
  return html`<li>
    <a href=${hrefOf("markets", String(item.instrument_id), query)} aria-current=${selected ? "true" : null}>
      <span class="symbol">${item.symbol}</span>
      <span class="name">${item.name}</span>
      <span class="number ${trend}">${bar ? price(bar.c, digitsOf([bar.c])) : ""}</span>
    </a>
  </li>`;
}
