// A user's actions on an instrument, in the API's format.

/** @typedef {import("../api/client.js").Schemas["Recommendations"]} Recommendations */
/** The built-in types of events, and their names on buttons. */
export const KINDS = {
  view: "View",
  click: "Click",
  watch: "Watch",
  trade: "Trade",
  hide: "Hide",
  dislike: "Dislike",
};

/** @typedef {keyof typeof KINDS} Kind */

/** @type {readonly Kind[]} Those by which a user rejects an instrument: they are no clicks. */
const REJECTIONS = ["hide", "dislike"];

/**
 * @param {number} affinity of an instrument in the user's history
 * @returns {string} how the user rejected it; empty if it was not rejected
 */
export function rejectionOf(affinity) {
  if (affinity === 0) return "hidden";
  return affinity < 0 ? "disliked" : "";
}

/**
 * @param {string} user
 * @param {number} instrument
 * @param {Kind} kind
 * @param {number} nowMs
 */
export const eventOf = (user, instrument, kind, nowMs) => ({
  type: "interaction",
  user_id: user,
  instrument_id: instrument,
  event: kind,
  ts: nowMs,
});

/**
 * The feedback when a person chooses from an answer: impressions of all of it, so that the click
 * rate is correct, and one click, unless the person rejects what was recommended.
 *
 * @param {Recommendations} answer
 * @param {number} instrument
 * @param {Kind} kind
 * @returns {object[]} none if the answer did not recommend it
 */
export function feedbackOf({ items, request_id, user_id }, instrument, kind) {
  const messages = items.map(({ instrument_id }, place) => ({
    type: "impression",
    request_id,
    user_id,
    instrument_id,
    position: place + 1,
  }));
  const clicked = messages.find(({ instrument_id }) => instrument_id === instrument);
  if (clicked === undefined) return [];
  return REJECTIONS.includes(kind) ? messages : [...messages, { ...clicked, type: "click" }];
}
