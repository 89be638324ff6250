// Bars of one instrument and interval, oldest first, as immutable lists: an unchanged bar stays the
// same object.

/** @typedef {import("../api/types").components["schemas"]["Bar"]} Bar */
/** @typedef {string} Interval a whole number of minutes, hours, days or weeks, such as 15m */

/** @type {readonly Interval[]} Those to choose from; the API takes others, too. */
export const INTERVALS = ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"];
/** @type {Readonly<Record<string, number>>} */
const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Wider gaps are not drawn: 1,000 places are more than a screen. */
const WIDEST_GAP = 1000;

/** @param {string} text @returns {Interval} 1m if it is not one, or longer than a week */
export function intervalOf(text) {
  return /^[1-9]\d{0,4}[mhdw]$/.test(text) && lengthOf(text) <= lengthOf("1w") ? text : "1m";
}

/** @param {Interval} interval @returns {number} ms; days that clocks are changed on are an hour shorter or longer */
export const lengthOf = (interval) => Number.parseInt(interval, 10) * (UNITS[interval.slice(-1)] ?? 0);

/** @param {Interval} interval @returns {boolean} whether its bars begin at midnights, and so depend on a time zone */
export const ofDays = (interval) => lengthOf(interval) % lengthOf("1d") === 0;

/**
 * Replaces bars with the same `t`, and inserts the others.
 *
 * @param {readonly Bar[]} bars
 * @param {readonly Bar[]} changed
 * @returns {readonly Bar[]}
 */
export function withChanges(bars, changed) {
  const merged = [...bars];
  for (const bar of changed) {
    const place = placeOf(merged, bar.t);
    merged.splice(place, merged[place]?.t === bar.t ? 1 : 0, bar);
  }
  return merged;
}

/**
 * Adds bars that were read. They may be older than live ones: of two bars with the same `t`, the one
 * with more quotes is the later one, and if both have as many, the closed one.
 *
 * @param {readonly Bar[]} bars
 * @param {readonly Bar[]} read
 * @returns {readonly Bar[]}
 */
export function withHistory(bars, read) {
  const newer = read.filter((bar) => {
    const held = bars[placeOf(bars, bar.t)];
    return held?.t !== bar.t || bar.n > held.n || (bar.n === held.n && bar.closed && !held.closed);
  });
  return newer.length > 0 ? withChanges(bars, newer) : bars;
}

/**
 * Returns the times of all places of a chart: those of the bars, and of the gaps between them,
 * which the chart would omit.
 *
 * @param {readonly Bar[]} bars
 * @param {Interval} interval
 * @returns {number[]} ms since the epoch
 */
export function places(bars, interval) {
  /** @type {number[]} */
  const found = [];
  for (const bar of bars) {
    const last = found.at(-1);
    if (last !== undefined) found.push(...gap(last, bar.t, interval));
    found.push(bar.t);
  }
  return found;
}

/** @param {number} after @param {number} before @param {Interval} interval @returns {number[]} the times between */
function gap(after, before, interval) {
  const step = lengthOf(interval);
  const missing = Math.round((before - after) / step) - 1;
  if (missing <= 0 || missing > WIDEST_GAP) return [];
  return Array.from({ length: missing }, (_, n) => after + (n + 1) * step);
}

/** @param {readonly Bar[]} bars @param {number} t @returns {number} the index of the first that is not before it */
function placeOf(bars, t) {
  let low = 0;
  let high = bars.length;
  const last = bars.at(-1);
  if (last !== undefined && last.t < t) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {Bar} */ (bars[middle]).t < t) low = middle + 1;
    else high = middle;
  }
  return low;
}
