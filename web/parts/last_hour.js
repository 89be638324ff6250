// The last hour of several instruments: prices, change and volume.

import { useMemo } from "preact/hooks";
import { ask } from "../api/client.js";
import { idOf } from "../api/json.js";
import { useAnswer, useLast } from "../shell/hooks.js";

/** @typedef {import("../api/client.js").Schemas["BarsOfMany"]} BarsOfMany */
/**
 * @typedef {object} Hour
 * @property {number} sinceMs when its first bar starts, ms since the epoch
 * @property {number} open the first price
 * @property {readonly number[]} closes of bars of 5 minutes, oldest first, at least one
 * @property {number} volume
 */

/** More are rarely looked at, and an API process reads as many in a few ms. */
export const MOST = 50;
export const TREND_COLORS = "green: rose; red: fell";
const EVERY_MS = 10_000;
const INTERVAL = "5m";
const BARS = 12;

/** @param {readonly number[]} ids at most `MOST` @returns {ReadonlyMap<number, Hour>} of those that have quotes */
export function useLastHour(ids) {
  const instruments = ids.join(",");
  const answer = useLast(
    useAnswer(
      ids.length > 0 ? `last hour of ${instruments}` : null,
      (signal) =>
        /** @type {Promise<BarsOfMany>} */ (
          ask("/v1/bars", { query: { instruments, interval: INTERVAL, limit: BARS * ids.length }, signal })
        ),
      EVERY_MS,
    ).answer,
  );
  return useMemo(() => new Map(Object.entries(answer?.bars ?? {}).flatMap(([id, bars]) => hourOf(idOf(id), bars))), [answer]);
}

/** @param {number} id @param {BarsOfMany["bars"][string]} bars @returns {[number, Hour][]} */
function hourOf(id, bars) {
  const [first] = bars;
  if (first === undefined) return [];
  const volume = bars.reduce((sum, { v }) => sum + v, 0);
  return [[id, { sinceMs: first.t, open: first.o, closes: bars.map(({ c }) => c), volume }]];
}
