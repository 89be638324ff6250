// A small line of prices.

import { html } from "../shell/html.js";

const WIDTH = 88;
const HEIGHT = 24;

/** @param {{ prices: readonly number[], label: string }} props oldest first */
export function Sparkline({ prices, label }) {
  const first = prices[0];
  const last = prices.at(-1);
  if (first === undefined || last === undefined || prices.length < 2) {
    return html`<svg class="sparkline" width=${WIDTH} height=${HEIGHT} role="img"
      aria-label="${label}: no prices"></svg>`;
  }
  const trend = last >= first ? "up" : "down";
  return html`<svg class="sparkline ${trend}" width=${WIDTH} height=${HEIGHT} viewBox="0 0 ${WIDTH} ${HEIGHT}"
    role="img" aria-label="${label}: ${first} to ${last}"><polyline points=${pointsOf(prices)} /></svg>`;
}

/** @param {readonly number[]} prices at least two @returns {string} */
function pointsOf(prices) {
  const low = Math.min(...prices);
  const range = Math.max(...prices) - low || 1;
  const step = WIDTH / (prices.length - 1);
  const y = (/** @type {number} */ price) => HEIGHT - 2 - ((price - low) / range) * (HEIGHT - 4);
  return prices.map((price, n) => `${(n * step).toFixed(1)},${y(price).toFixed(1)}`).join(" ");
}
