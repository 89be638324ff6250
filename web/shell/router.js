// The shown view and its subject: the part of the URL after `#`.
//
// `#/markets/4?interval=5m` is the view `markets`, its subject `4`, and one setting of it.

import { createStore } from "../state/store.js";

/**
 * @typedef {object} Place
 * @property {string} view
 * @property {string} subject what the view shows; empty for its start
 * @property {Readonly<Record<string, string>>} query
 */

/** @param {string} hash @returns {Place} */
export function placeOf(hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const slash = path.indexOf("/");
  const view = slash < 0 ? path : path.slice(0, slash);
  const subject = slash < 0 ? "" : path.slice(slash + 1);
  return { view, subject: decoded(subject), query: Object.fromEntries(new URLSearchParams(query)) };
}

/**
 * @param {string} view
 * @param {string} [subject]
 * @param {Record<string, string>} [query]
 * @returns {string} for `href`
 */
export function hrefOf(view, subject = "", query = {}) {
  const path = subject === "" ? view : `${view}/${encodeURIComponent(subject)}`;
  const asked = new URLSearchParams(query);
  return `#/${path}${asked.size > 0 ? `?${asked}` : ""}`;
}

/**
 * Changes how a subject is written in the address; "back" does not return to the former. Does nothing
 * if the address has another one by now, even if its event has not come yet.
 *
 * @param {string} former
 * @param {string} subject
 */
export function rename(former, subject) {
  const here = placeOf(location.hash);
  if (here.subject !== former) return;
  history.replaceState(null, "", hrefOf(here.view, subject, here.query));
  place.update(() => ({ ...here, subject }));
}

/** @param {string} text @returns {string} unchanged if it is not encoded correctly */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = createStore(placeOf(location.hash));
addEventListener("hashchange", () => place.update(() => placeOf(location.hash)));
