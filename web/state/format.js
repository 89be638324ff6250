// Formats numbers and times. Times are in the time zone of the page.

import { offsetMs } from "./zone.js";

const COUNT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const AMOUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 8 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} value @param {number} digits after the point @returns {string} */
export function price(value, digits) {
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/**
 * How many digits after the point prices need, 2 to 8.
 *
 * @param {Iterable<number>} prices
 * @returns {number}
 */
export function digitsOf(prices) {
  let most = 2;
  for (const one of prices) {
    const [mantissa = "", exponent = "0"] = String(one).split("e"); // 1.5e-7
    const digits = (mantissa.split(".")[1] ?? "").length - Number(exponent);
    most = Math.max(most, Math.min(8, digits));
  }
  return most;
}

/** @param {number} value @returns {string} such as 13.4K */
export const count = (value) => COUNT.format(value);

/** @param {number} value @returns {string} such as 13,421.25 */
export const amount = (value) => AMOUNT.format(value);

/** @param {number} value @returns {string} such as 13,421 */
export const whole = (value) => WHOLE.format(value);

/** @param {number} share 0.01 is one percent @returns {string} such as +1.00% */
export function change(share) {
  return `${share > 0 ? "+" : ""}${(share * 100).toFixed(2)}%`;
}

/** @param {number | null | undefined} share @returns {"up" | "down" | ""} the class of its color */
export const trendOf = (share) => (share ? (share > 0 ? "up" : "down") : "");

/** @param {number} ms since the epoch @returns {string} such as 14:05:09 */
export const clock = (ms) => local(ms).slice(11, 19);

/** @param {number} ms since the epoch @returns {string} such as 14:05 */
export const hours = (ms) => clock(ms).slice(0, 5);

/** @param {number} ms since the epoch @returns {string} such as 2026-11-26 14:05 */
export const minute = (ms) => local(ms).slice(0, 16).replace("T", " ");

/** @param {number} ms since the epoch @returns {string} such as 2026-11-26T14:05:09.000Z, without regard to the Z */
const local = (ms) => new Date(ms + offsetMs(ms)).toISOString();

/** @param {number} share 0.25 is a quarter @returns {string} such as 25.0% */
export const percent = (share) => `${(share * 100).toFixed(1)}%`;

/** @param {number} ms an age; negative if clocks differ @returns {string} such as 5 s ago */
export const ago = (ms) => `${span(ms)} ago`;

/** After so long without a quote, a price is stale. */
export const STALE_MS = 120_000;

/** @param {number} ms how long something takes; below 0: as 0 @returns {string} such as 5 s */
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}
