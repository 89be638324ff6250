// A part of the address that means nothing.

import { html } from "./html.js";

/** @param {{ what: string, asked: string, known: string, shown?: string }} props known: what is; shown: instead */
export const Unknown = ({ what, asked, known, shown }) =>
  html`<p class="note refusal" role="alert"
    >There is no ${what} “${asked}”${shown && `, so this shows ${shown}`}. Known: ${known}.</p>`;
