// Derives the pipeline's status for operators from the API's data: problems, and since when.

import { percent, span, whole } from "./format.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Schemas["TopicState"]} TopicState */
/** @typedef {Schemas["PipelineHistory"]} History */
/** @typedef {import("./connection.js").Failure} Failure */
/** @typedef {"bad" | "warn" | "unknown" | "well"} Level */

/**
 * @typedef {object} Standing of one part of the pipeline
 * @property {string} subject
 * @property {Level} level
 * @property {string} says
 * @property {number | null} sinceMs since when there is a problem, ms since the epoch; null: there is none, or the
 time is not known
 */

/**
 * @typedef {object} Health the answer of `/health/ready`
 * @property {"ready" | "not ready" | "private"} kind private: it is served on another port
 * @property {string} says why it is not ready
 */

/**
 * @typedef {object} Known
 * @property {Schemas["Pipeline"] | null} pipeline the last answer, which may be old
 * @property {number} atMs when it came, ms since the epoch
 * @property {History | null} history
 * @property {Health | null} health
 * @property {Failure | null} noHealth why `/health/ready` gets no answer at all
 * @property {Failure | null} noPipeline why there is no newer answer
 */

/** Levels from the worst. */
const LEVELS = /** @type {const} */ (["bad", "warn", "unknown", "well"]);
/** A lag below the incoming records of so many seconds is not reported. */
const LAG_WITHIN_S = 30;
/** Dead letters are reported for so long. */
const REJECTED_WITHIN_MS = 600_000;

/** @param {Known} known @param {number} nowMs @returns {Standing[]} the worst first */
export function standings(known, nowMs) {
  const all = [standingOfApi(known), standingOfRedis(known), standingOfKafka(known), ...ofTopics(known, nowMs)];
  return all.sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}

/**
 * @param {readonly Standing[]} all the worst first
 * @returns {{ level: Level, says: string }}
 */
export function verdictOf(all) {
  const wrong = all.filter(({ level }) => level === "bad" || level === "warn").length;
  const unknown = all.filter(({ level }) => level === "unknown").length;
  const [worst] = all;
  if (worst === undefined || worst.level === "well") return { level: "well", says: "All well" };
  if (wrong === 0) return { level: "unknown", says: `${unknown} of ${all.length} not known` };
  return { level: worst.level, says: `${wrong} of ${all.length} not well` };
}

/** @param {Known} known @returns {Standing} */
function standingOfApi({ health, noHealth }) {
  const subject = "API";
  if (noHealth) return { subject, level: "bad", says: noHealth.reason, sinceMs: noHealth.sinceMs };
  if (health === null) return { subject, level: "unknown", says: "not known yet", sinceMs: null };
  return { subject, level: "well", says: "answers", sinceMs: null };
}

/** @param {Known} known @returns {Standing} */
function standingOfRedis({ health, noHealth, pipeline, noPipeline }) {
  const subject = "Redis";
  const sinceMs = noPipeline?.sinceMs ?? null;
  if (noHealth) return { subject, level: "unknown", says: "the API does not tell", sinceMs: noHealth.sinceMs };
  if (health?.kind === "not ready") return { subject, level: "bad", says: health.says, sinceMs };
  if (health?.kind === "private" && noPipeline) return { subject, level: "bad", says: noPipeline.reason, sinceMs };
  if (health?.kind === "ready" || pipeline !== null) return { subject, level: "well", says: "answers", sinceMs: null };
  return { subject, level: "unknown", says: "not known yet", sinceMs: null };
}

/** @param {Known} known @returns {Standing} */
function standingOfKafka({ pipeline, noPipeline, history }) {
  const subject = "Kafka";
  if (noPipeline) return { subject, level: "unknown", says: "the API does not tell", sinceMs: noPipeline.sinceMs };
  if (pipeline === null) return { subject, level: "unknown", says: "not known yet", sinceMs: null };
  if (pipeline.kafka === "ok") return { subject, level: "well", says: "answers", sinceMs: null };
  const since = (history?.topics ?? []).map(({ lag }) => runStart(history?.ts ?? [], lag, (value) => value === null));
  return { subject, level: "bad", says: pipeline.kafka, sinceMs: earliest(since) };
}

/** @param {Known} known @param {number} nowMs @returns {Standing[]} two for each topic */
function ofTopics({ pipeline, atMs, noPipeline }, nowMs) {
  return (pipeline?.topics ?? []).flatMap((topic) => {
    const { sinceMs = null } = noPipeline ?? {};
    if (noPipeline) return [{ subject: topic.topic, level: "unknown", says: "the API does not tell", sinceMs }];
    const rejected = standingOfRejected(topic, nowMs);
    return [standingOfWorkers(topic, atMs), ...(rejected ? [rejected] : [])];
  });
}

/** @param {TopicState} topic @param {number} atMs when this was so @returns {Standing} how far its workers are */
export function standingOfWorkers({ topic: subject, partitions, lag, rate }, atMs) {
  const stalled = partitions.filter(({ state }) => state === "stalled");
  if (stalled.length > 0) {
    const ages = stalled.map(({ age_ms }) => (age_ms === null ? null : atMs - age_ms));
    const says = `${stalled.length} of ${partitions.length} partitions are not folded, ${records(sumOf(stalled))} wait`;
    return { subject, level: "bad", says, sinceMs: earliest(ages) };
  }
  const held = partitions.filter(({ state }) => state === "held back");
  if (held.length > 0) {
    const which = `${held.length} of ${partitions.length} partitions`;
    const says = `an open transaction holds back ${which}, ${records(sumOf(held))} wait for its producer`;
    return { subject, level: "warn", says, sinceMs: null };
  }
  const untouched = partitions.filter((partition) => partition.state === "new" && partition.lag);
  if (untouched.length > 0) {
    const which = `${untouched.length} of ${partitions.length} partitions`;
    const says = `${which} were never folded, ${records(sumOf(untouched))} wait: is a worker running?`;
    return { subject, level: "warn", says, sinceMs: null };
  }
  if (lag === null) return { subject, level: "unknown", says: "where its log ends is not known", sinceMs: null };
  if (lag > LAG_WITHIN_S * Math.max(rate ?? 0, 1)) {
    const behind = partitions.map((partition) =>
      partition.lag && partition.age_ms !== null ? atMs - partition.age_ms : null,
    );
    const long = rate ? `, what comes in ${span((lag / rate) * 1000)}` : "";
    return { subject, level: "warn", says: `behind by ${records(lag)}${long}`, sinceMs: earliest(behind) };
  }
  if (lag > 0) return { subject, level: "well", says: `folded, ${records(lag)} under way`, sinceMs: null };
  const untold = partitions.every(({ state }) => state === "new");
  return { subject, level: "well", says: untold ? "nothing came yet" : "up to date", sinceMs: null };
}

/** @param {TopicState} topic @param {number} nowMs @returns {Standing | null} null: nothing was rejected lately */
function standingOfRejected({ topic, reasons }, nowMs) {
  const lately = reasons.filter(({ last_at_ms }) => nowMs - last_at_ms < REJECTED_WITHIN_MS);
  const [latest] = lately.sort((one, other) => other.last_at_ms - one.last_at_ms);
  if (latest === undefined) return null;
  const says = `rejected ${span(nowMs - latest.last_at_ms)} ago: ${latest.reason}`;
  return { subject: `${topic}, dead letters`, level: "warn", says, sinceMs: null };
}

/** @param {readonly Schemas["PartitionState"][]} partitions @returns {number} records that wait in them */
const sumOf = (partitions) => partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0);

/** @param {number} n @returns {string} */
const records = (n) => `${whole(n)} ${n === 1 ? "record" : "records"}`;

/** @param {readonly (number | null)[]} times @returns {number | null} */
function earliest(times) {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}

/**
 * @template T
 * @param {readonly number[]} ts
 * @param {readonly T[]} values one for each of the `ts`
 * @param {(value: T) => boolean} holds
 * @returns {number | null} since which of the `ts` it has held without interruption; null: it does not hold now
 */
export function runStart(ts, values, holds) {
  const last = values.findLastIndex((value) => !holds(value));
  return ts[last + 1] ?? null;
}

/** @param {TopicState} topic @returns {number | null} ms since anything of it was folded; null: nothing was */
export function foldedAgeMs({ partitions }) {
  return earliest(partitions.map(({ age_ms }) => age_ms));
}

/** @typedef {"rate" | "lag" | "age_ms" | "dead_letter_rate"} Column of the history */
/** @typedef {{ name: Column, title: string, unit: string, shown: (value: number) => string }} Measure */

/** @param {number} value @returns {string} such as 22.1 */
export const perSecond = (value) => (value < 100 ? value.toFixed(1) : whole(value));

/** @type {readonly Measure[]} What is drawn of each topic. */
export const MEASURES = [
  { name: "rate", title: "Records a second", unit: "/s", shown: perSecond },
  { name: "lag", title: "Lag, in records", unit: "", shown: whole },
  { name: "age_ms", title: "Not folded for", unit: "", shown: span },
  { name: "dead_letter_rate", title: "Rejected a second", unit: "/s", shown: perSecond },
];

/**
 * @param {readonly (number | null)[]} values oldest first
 * @returns {number} the index of the newest known value; -1: none is known
 */
export const newestKnown = (values) => values.findLastIndex((value) => value !== null);

/**
 * @param {Measure} measure
 * @param {readonly (number | null)[]} values oldest first
 * @returns {string} the line in words
 */
export function lineInWords({ title, shown }, values) {
  const known = values.filter((value) => value !== null);
  const last = values.at(-1) ?? null;
  if (known.length === 0) return `${title}: not known`;
  const unknown = 1 - known.length / values.length;
  const gaps = unknown > 0 ? `, not known ${percent(unknown)} of the time` : "";
  const now = last === null ? "not known" : shown(last);
  return `${title}: now ${now}; from ${shown(Math.min(...known))} to ${shown(Math.max(...known))}${gaps}`;
}

/**
 * Returns about `most` rows of the history, newest first, as evenly spaced samples.
 *
 * @param {History} history
 * @param {number} most
 * @returns {number[]} their places in the columns
 */
export function sparse({ ts }, most) {
  const step = Math.max(1, Math.ceil(ts.length / most));
  const rows = [];
  for (let place = ts.length - 1; place >= 0; place -= step) rows.push(place);
  return rows;
}

/**
 * @typedef {object} Slot of a time axis
 * @property {number} ms its start, ms since the epoch
 * @property {number | null} sample the place of its newest sample, or of the one before, or of the first; null: there
 is none
 * @property {boolean} taken whether that sample is its own
 */

/**
 * Returns slots of equal length, as a chart gives all its points equal room. They are about as long as
 * samples are apart, and without a sample while the API took none.
 *
 * @param {History} history
 * @param {number} fromMs
 * @param {number} toMs
 * @returns {Slot[]} oldest first
 */
export function slotsOf({ ts, every_ms }, fromMs, toMs) {
  const slots = [];
  let next = 0;
  for (let ms = fromMs - (fromMs % every_ms); ms <= toMs; ms += every_ms) {
    const before = next;
    while ((ts[next] ?? Infinity) < ms + every_ms) next += 1;
    slots.push({ ms, sample: ts.length > 0 ? Math.max(next - 1, 0) : null, taken: next > before });
  }
  return slots;
}
