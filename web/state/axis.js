// Places of a chart's time axis, which knows UTC only: times are shifted, so that days begin at the
// midnights of the page's time zone.

import { offsetMs } from "./zone.js";

/**
 * Where clocks are turned back, times repeat, but places must ascend: the repeated ones follow one
 * another by a second, until the clocks are past the place before.
 *
 * @param {number} ms a time, since the epoch
 * @param {number} last the place before it; -Infinity at the beginning
 * @returns {number} its place, in seconds
 */
export const placeAfter = (ms, last) => Math.max(last + 1, (ms + offsetMs(ms)) / 1000);
