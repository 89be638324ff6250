// What a user does with an instrument, as the API takes it.

/** @typedef {import("../api/types").components["schemas"]["Recommendations"]} Recommendations */
/** @typedef {"view" | "click" | "watch" | "trade"} Kind */

/** @type {Readonly<Record<Kind, string>>} Their names on buttons. */
export const KINDS = { view: "View", click: "Click", watch: "Watch", trade: "Trade" };

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
 * What is fed back when a person chooses from an answer: all of it was shown, so that the rate of
 * clicks stays one, and one was clicked.
 *
 * @param {Recommendations} answer
 * @param {number} instrument
 * @returns {object[]} none if the answer did not recommend it
 */
export function feedbackOf({ items, request_id, user_id }, instrument) {
  const messages = items.map(({ instrument_id }, place) => ({
    type: "impression",
    request_id,
    user_id,
    instrument_id,
    position: place + 1,
  }));
  const clicked = messages.find(({ instrument_id }) => instrument_id === instrument);
  return clicked === undefined ? [] : [...messages, { ...clicked, type: "click" }];
}
