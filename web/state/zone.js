// The time zone of all times on the page: the browser's, until a person chooses another one.

import { remember, remembered } from "./storage.js";
import { createStore } from "./store.js";

const NAME = "zone";
/** Offsets change at quarters of an hour only. */
const QUARTER_MS = 900_000;
const MOST_KEPT = 20_000;

const own = Intl.DateTimeFormat().resolvedOptions().timeZone.replace(/^Etc\/.*(UTC|Unknown)$/, "UTC");

/** The zones to choose from: the browser's own, UTC, and those of large exchanges. */
export const ZONES = [...new Set([own, "UTC", "America/New_York", "Europe/London", "Asia/Tokyo"])];

/** @type {import("./store.js").Store<string>} A name of the IANA database. */
export const zone = createStore(ZONES.find((name) => name === remembered(NAME)) ?? own);

/** @param {string} name one of `ZONES` */
export function chooseZone(name) {
  remember(NAME, name);
  zone.update(() => name);
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();
/** @type {Map<string, number>} Offsets by zone and quarter of an hour. */
const kept = new Map();

/**
 * @param {number} ms since the epoch
 * @param {string} [name] of the zone
 * @returns {number} how far the zone's clocks are ahead of UTC then, in ms
 */
export function offsetMs(ms, name = zone.get()) {
  if (name === "UTC") return 0;
  const key = `${name} ${Math.floor(ms / QUARTER_MS)}`;
  const known = kept.get(key);
  if (known !== undefined) return known;
  if (kept.size >= MOST_KEPT) kept.clear();
  const offset = parsedOffset(formatOf(name).format(ms));
  kept.set(key, offset);
  return offset;
}

/** @param {string} name @returns {Intl.DateTimeFormat} which are slow to make */
function formatOf(name) {
  const made = formats.get(name) ?? new Intl.DateTimeFormat("en", { timeZone: name, timeZoneName: "longOffset" });
  formats.set(name, made);
  return made;
}

/** @param {string} text that ends as GMT, GMT-05:00 or GMT+05:30 @returns {number} ms */
function parsedOffset(text) {
  const [, sign, h, m, s] = /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(text) ?? [];
  const seconds = Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0);
  return (sign === "-" ? -1000 : 1000) * seconds;
}

/**
 * Returns the place of a time on a chart's axis, which knows UTC only: times are shifted, so that days
 * begin at the midnights of the page's time zone. Where clocks are turned back, times repeat, but places must ascend: the repeated ones follow one
 * another by a second, until the clocks are past the place before.
 *
 * @param {number} ms a time, since the epoch
 * @param {number} last the place before it; -Infinity at the beginning
 * @returns {number} its place, in seconds
 */
export const placeAfter = (ms, last) => Math.max(last + 1, (ms + offsetMs(ms)) / 1000);
