// Prepares the API's data on models for the view: figures over time, consequences of decisions.

import { percent } from "./format.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Schemas["Models"]} Models */
/** @typedef {Schemas["Model"]} Model */
/** @typedef {Schemas["Decision"]} Decision */
/** @typedef {Schemas["Arm"]} Arm */

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

/** @param {Models} models @returns {Schemas["Variant"] | null} */
export const defaultOf = ({ variants }) => variants.find(({ variant }) => variant === "default") ?? null;

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

/**
 * @typedef {object} Compared
 * @property {string} measure
 * @property {number | null} served
 * @property {number | null} canary
 * @property {"number" | "count" | "share"} kind
 * @property {number | null} p the probability of no smaller a loss if the generations differ in nothing
 */

/**
 * Returns the figures of a canary compared with those of the served generation.
 *
 * @param {Readonly<Record<string, number>>} figures of a standing or a verdict
 * @returns {Compared[]} the measures with known values
 */
export function compared(figures) {
  const value = (/** @type {string} */ name) => figures[name] ?? null;
  /** @type {(measure: string, name: string, kind: Compared["kind"], p?: string) => Compared} */
  const both = (measure, name, kind, p = "") => ({
    ...{ measure, kind, p: value(p) },
    served: value(`${name}_served`),
    canary: value(`${name}_canary`),
  });
  const rate = (/** @type {string} */ of) => {
    const [clicks, impressions] = [value(`clicks_${of}`), value(`impressions_${of}`)];
    return clicks === null || !impressions ? null : clicks / impressions;
  };
  const rows = [
    both("nDCG@10 on what users did since", "ndcg", "number", "ndcg_p"),
    both("Users who did anything new", "holdout_users", "count"),
    { ...both("Click-through", "", "share", "clicks_p"), served: rate("served"), canary: rate("canary") },
    both("Users who were shown lists", "users", "count"),
    both("Impressions", "impressions", "count"),
    both("Clicks", "clicks", "count"),
    both("Clicks without an impression", "clicks_unmatched", "count"),
  ];
  return rows.filter(({ served, canary }) => served !== null || canary !== null);
}

/**
 * @typedef {object} Consequence of a decision
 * @property {string} subject the generations that it affects: with others, it would be a different decision
 * @property {string} expected the generation that it is about
 * @property {readonly string[]} facts what changes
 */

export const AT_ONCE = "It takes effect with the next request.";

/** @param {Models} models @returns {Consequence | null} null: there is no canary */
export function promotion(models) {
  const [canary, served] = [canaryOf(models), defaultOf(models)];
  if (canary === null || served === null) return null;
  const [to, from] = [canary.serves.generation, served.serves.generation];
  return {
    subject: `${from} ${to}`,
    expected: to,
    facts: [
      `${percent(served.users + canary.users)} of all users get ${to}; until now ${percent(canary.users)} do.`,
      `It replaces ${from}, which can be rolled back to.`,
      AT_ONCE,
    ],
  };
}

/** @param {Models} models @returns {Consequence | null} null: there is nothing to roll back to */
export function rollback(models) {
  const [canary, served, before] = [canaryOf(models), defaultOf(models), models.previous[0]];
  if (served === null) return null;
  const from = served.serves.generation;
  const held = "The trainer then publishes nothing until a person requests it: python -m trainer once.";
  if (canary !== null) {
    const gone = canary.serves.generation;
    const taken = `The canary ${gone} is withdrawn: its ${percent(canary.users)} of all users get ${from} again.`;
    return { subject: `${from} ${gone}`, expected: gone, facts: [taken, held, AT_ONCE] };
  }
  if (before === undefined) return null;
  const facts = [`${percent(served.users)} of all users go back from ${from} to ${before.generation}.`, held, AT_ONCE];
  return { subject: `${from} ${before.generation}`, expected: from, facts };
}

/**
 * Returns the variants' shares of the users by their weights, including the canary's.
 *
 * @param {readonly Arm[]} arms
 * @param {Readonly<Record<string, number>>} weights by variant
 * @returns {Record<string, number>}
 */
export function sharesOf(arms, weights) {
  const served = arms.filter(({ generation }) => generation !== null);
  const total = served.reduce((sum, { variant }) => sum + (weights[variant] ?? 0), 0);
  const share = (/** @type {string} */ variant) =>
    total > 0 ? (weights[variant] ?? 0) / total : Number(variant === "default");
  return Object.fromEntries(arms.map(({ variant, generation }) => [variant, generation === null ? 0 : share(variant)]));
}
