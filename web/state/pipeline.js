// Derives the pipeline's status for operators from the API's data: problems, and since when.

import { span, whole } from "./format.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Schemas["TopicState"]} TopicState */
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
 * @property {Health | null} health
 * @property {Failure | null} noHealth why `/health/ready` gets no answer at all
 * @property {Failure | null} noPipeline why there is no newer answer
 */

/** Levels from the worst. */
const LEVELS = /** @type {const} */ (["bad", "warn", "unknown", "well"]);
/** A lag below the incoming records of so many seconds is not reported. */
const LAG_WITHIN_S = 30;

/** @param {Known} known @returns {Standing[]} the worst first */
export function standings(known) {
  const all = [standingOfApi(known), standingOfRedis(known), standingOfKafka(known), ...ofTopics(known)];
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
function standingOfKafka({ pipeline, noPipeline }) {
  const subject = "Kafka";
  if (noPipeline) return { subject, level: "unknown", says: "the API does not tell", sinceMs: noPipeline.sinceMs };
  if (pipeline === null) return { subject, level: "unknown", says: "not known yet", sinceMs: null };
  if (pipeline.kafka === "ok") return { subject, level: "well", says: "answers", sinceMs: null };
  return { subject, level: "bad", says: pipeline.kafka, sinceMs: null };
}

/** @param {Known} known @returns {Standing[]} one for each topic */
function ofTopics({ pipeline, atMs, noPipeline }) {
  return (pipeline?.topics ?? []).map((topic) => {
    if (noPipeline === null) return standingOfWorkers(topic, atMs);
    const { sinceMs } = noPipeline;
    return { subject: topic.topic, level: "unknown", says: "the API does not tell", sinceMs };
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

/** @param {readonly Schemas["PartitionState"][]} partitions @returns {number} records that wait in them */
const sumOf = (partitions) => partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0);

/** @param {number} n @returns {string} */
const records = (n) => `${whole(n)} ${n === 1 ? "record" : "records"}`;

/** @param {readonly (number | null)[]} times @returns {number | null} */
function earliest(times) {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}

/** @param {TopicState} topic @returns {number | null} ms since anything of it was folded; null: nothing was */
export function foldedAgeMs({ partitions }) {
  return earliest(partitions.map(({ age_ms }) => age_ms));
}

/** @param {number} value @returns {string} such as 22.1 */
export const perSecond = (value) => (value < 100 ? value.toFixed(1) : whole(value));
