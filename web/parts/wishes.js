// What a person wants of the recommendations: parameters of the request, under the same names in the
// address.

import { html } from "../shell/html.js";
import { hrefOf } from "../shell/router.js";

/** @typedef {Readonly<Record<string, string>>} Query */

/** @type {Readonly<Record<string, string>>} Values of `diversity`, in words; empty: not sent. */
const DIVERSITIES = { "": "The variant's", 0: "None", 0.25: "Some", 0.5: "Much", 1: "Categories only" };

/** @param {Query} query of the address @returns {Record<string, string>} parameters of the request */
export function wishesOf({ include_seen, diversity = "" }) {
  return {
    ...(include_seen === "true" ? { include_seen } : {}),
    ...(diversity !== "" && diversity in DIVERSITIES ? { diversity } : {}),
  };
}

/** @param {{ user: string, query: Query }} props */
export function Wishes({ user, query }) {
  const { include_seen, diversity = "" } = wishesOf(query);
  /** @param {string} name @param {string} value empty: the default */
  const wish = (name, value) => {
    const { [name]: _, ...others } = query;
    location.hash = hrefOf("user", user, value === "" ? others : { ...others, [name]: value });
  };
  return html`<div class="wishes" role="group" aria-label="What to recommend">
    <label><input type="checkbox" checked=${include_seen === "true"}
      onChange=${(/** @type {Event} */ event) => wish("include_seen", checked(event) ? "true" : "")} /> Buy again</label>
    <label>Diversity <select onChange=${(/** @type {Event} */ event) => wish("diversity", chosen(event))}>
      ${Object.keys(DIVERSITIES).sort().map((value) => html`<option key=${value} value=${value}
        selected=${value === diversity}>${DIVERSITIES[value]}</option>`)}
    </select></label>
  </div>`;
}

/** @param {Event} event */
const checked = ({ currentTarget }) => /** @type {HTMLInputElement} */ (currentTarget).checked;

/** @param {Event} event */
const chosen = ({ currentTarget }) => /** @type {HTMLSelectElement} */ (currentTarget).value;
