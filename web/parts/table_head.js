// The first row of a table.

import { html } from "../shell/html.js";

/** @param {{ titles: readonly string[] }} props of the columns */
export const TableHead = ({ titles }) =>
  html`<thead><tr>${titles.map((title) => html`<th key=${title} scope="col">${title}</th>`)}</tr></thead>`;
