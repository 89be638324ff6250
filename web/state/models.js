// Prepares the API's data on models for the view: figures over time.

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Schemas["Models"]} Models */
/** @typedef {Schemas["Model"]} Model */
/** @typedef {Schemas["Decision"]} Decision */

/**
 * @typedef {object} Point the hold-out figures of a generation
 * @property {string} generation
 * @property {number} atMs ms since the epoch
 * @property {number} ndcg
 * @property {number} low of the 95 % interval
 * @property {number} high
 * @property {number} coverage
 * @property {number} personalization
 * @property {number} users held out
 */

const LET_OUT = ["published", "on trial"];
const OF_DEFAULT = ["default", "canary"];

/** @param {Models} models @returns {Schemas["Variant"] | null} */
export const canaryOf = ({ variants }) => variants.find(({ trial }) => trial !== null) ?? null;

/**
 * Returns the generations of the default variant with a known hold-out, oldest first. Decisions go
 * further back than reports, which expire with their generations.
 *
 * @param {Models | null} models
 * @param {readonly Decision[]} decisions
 * @returns {Point[]}
 */
export function timeline(models, decisions) {
  const ofDefault = models ? models.variants.filter(({ variant }) => OF_DEFAULT.includes(variant)) : [];
  const served = [...ofDefault.map(({ serves }) => serves), ...(models?.previous ?? [])];
  const points = [...decisions.flatMap(pointOfDecision), ...served.flatMap(pointOfReport)];
  const latest = new Map(points.map((point) => [point.generation, point]));
  return [...latest.values()].sort((one, other) => one.atMs - other.atMs);
}

/** @param {Decision} decision @returns {Point[]} one, or none if it has no hold-out */
function pointOfDecision({ generation, at, what, variant, figures }) {
  const { ndcg, ndcg_low: low, ndcg_high: high, coverage, personalization, holdout_users: users } = figures;
  if (!LET_OUT.includes(what) || !OF_DEFAULT.includes(variant) || ndcg === undefined) return [];
  if (coverage === undefined || personalization === undefined || users === undefined) return [];
  const interval = { low: low ?? ndcg, high: high ?? ndcg };
  return [{ generation, atMs: Date.parse(at), ndcg, ...interval, coverage, personalization, users }];
}

/** @param {Model} model @returns {Point[]} */
function pointOfReport({ generation, report }) {
  if (!report?.held_out) return [];
  return [{ generation, atMs: Date.parse(report.finished), ...report.held_out }];
}
