// The first row of a table, and words with an explanation.

import { html } from "../shell/html.js";

/** @typedef {string | readonly [word: string, why: string]} Title without a word, only screen readers get it */

/** @param {{ word: string, why: string }} props shown on hover, and read by screen readers */
export const Explained = ({ word, why }) =>
  html`<span title=${word && why}>${word}<span class="unseen"> ${why}</span></span>`;

/** @param {{ titles: readonly Title[] }} props of the columns */
export const TableHead = ({ titles }) =>
  html`<thead><tr>${titles.map((title) => html`<th key=${title} scope="col">${
    typeof title === "string" ? title : html`<${Explained} word=${title[0]} why=${title[1]} />`}</th>`)}</tr></thead>`;
