// The bars of the chart as a table, newest first.

import { useState } from "preact/hooks";
import { html } from "../shell/html.js";
import { amount, minute, price, whole } from "../state/format.js";
import { BAR_COLORS } from "./chart.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../state/bars.js").Bar} Bar */

const PAGE = 60;
/** @type {readonly import("./table_head.js").Title[]} */
const TITLES = ["Start", "Open", "High", "Low", ["Close", BAR_COLORS], "VWAP", "Volume", "Quotes"];

/**
 * @param {object} props
 * @param {readonly Bar[]} props.bars
 * @param {boolean} props.complete whether there are no earlier ones
 * @param {number} props.digits
 * @param {string} props.caption
 * @param {() => void} props.onEarlier
 */
export function BarsTable({ bars, complete, digits, caption, onEarlier }) {
  const [rows, setRows] = useState(PAGE);
  const more = () => {
    setRows(rows + PAGE);
    if (rows + PAGE > bars.length) onEarlier();
  };
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
      <table class="numbers">
        <caption>${caption}</caption>
        <${TableHead} titles=${TITLES} />
        <tbody>
          ${bars.slice(-rows).reverse().map((bar) => html`<${Row} key=${bar.t} bar=${bar} digits=${digits} />`)}
        </tbody>
      </table>
      ${!(complete && rows >= bars.length) && html`<button type="button" onClick=${more}>Earlier bars</button>`}
    </div>
  `;
}

/** @param {{ bar: Bar, digits: number }} props */
function Row({ bar, digits }) {
  return html`<tr data-t=${bar.t} class=${bar.c >= bar.o ? "up" : "down"}>
    <th scope="row">${minute(bar.t)}${bar.partial && html` <span class="badge">partial</span>`}</th>
    ${[bar.o, bar.h, bar.l].map((value) => html`<td>${price(value, digits)}</td>`)}
    <td class="trend">${price(bar.c, digits)}</td>
    <td>${bar.vw === null ? "" : price(bar.vw, digits)}</td>
    <td>${amount(bar.v)}</td>
    <td>${whole(bar.n)}</td>
  </tr>`;
}
