// An instrument's name, with a link to its prices.

import { described } from "../api/instruments.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { hrefOf } from "../shell/router.js";

/** @param {number} id @returns {{ symbol: string, name: string }} the id as symbol if the catalog does not know it */
export function useNames(id) {
  const { answer } = useAnswer(`instrument ${id}`, () => described(id));
  return { symbol: answer?.symbol ?? String(id), name: answer?.name ?? "" };
}

/** @param {{ id: number }} props */
export function SymbolLink({ id }) {
  const { symbol, name } = useNames(id);
  return html`<a href=${hrefOf("markets", String(id))} title=${name || null}>${symbol}</a>`;
}

/** @param {{ id: number }} props the symbol, and the name if there is room */
export function NamedLink({ id }) {
  const { symbol, name } = useNames(id);
  return html`<span class="named"><a href=${hrefOf("markets", String(id))}>${symbol}</a><span class="name"
    title=${name || null}>${name}</span></span>`;
}
