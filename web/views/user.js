// One user: the history, recommendations with reasons, and acting as the user.

import { ask } from "../api/client.js";
import { useActing } from "../parts/user_events.js";
import { Recommended } from "../parts/recommendations.js";
import { Trending } from "../parts/trending.js";
import { UserChoice, useDrawn } from "../parts/user_choice.js";
import { UserHistory } from "../parts/user_history.js";
import { UserRights } from "../parts/user_rights.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { hrefOf } from "../shell/router.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {Readonly<Record<string, string>>} Query */

const SHOWN = 10;
/** An event counts within a second or two. */
const EVERY_MS = 1_000;
/** @typedef {{ name: string, title: string, words: Readonly<Record<string, string>> }} Choice */
/** @type {readonly Choice[]} Parameters with their values in words; an empty value is not sent. */
const CHOICES = [
  { name: "repeats", title: "Buy again", words: { "": "The variant's", none: "Left out", first: "First" } },
  { name: "diversity", title: "Diversity", words: { "": "The variant's", 0: "None", 0.25: "Some", 0.5: "Much", 1: "Categories only" } },
];

/** @param {{ place: import("../shell/router.js").Place }} props its subject is a user */
export function View({ place }) {
  const found = useDrawn();
  const user = place.subject || (found.users[0] ?? "");
  return html`
    <div class="user">
      <div class="stack">
        <${UserChoice} selected=${user} found=${found} />
        ${user !== "" && html`<${UserRights} key=${user} user=${user} />`}
      </div>
      ${user === ""
        ? html`<section class="panel"><p class="note">Choose a user.</p></section>`
        : html`<${Shown} key=${user} user=${user} query=${place.query} />`}
    </div>
  `;
}

/** @param {{ user: string, query: Query }} props query: of the address */
function Shown({ user, query }) {
  const options = optionsOf(query);
  const question = `recommendations ${user} ${new URLSearchParams(options)}`;
  const path = `/v1/users/${encodeURIComponent(user)}`;
  const recommended = useAnswer(
    question,
    (signal) =>
      /** @type {Promise<Schemas["Recommendations"]>} */ (
        ask(`${path}/recommendations`, { query: { n: SHOWN, ...options }, signal })
      ),
    EVERY_MS,
  );
  const history = useAnswer(
    `history ${user}`,
    (signal) => /** @type {Promise<Schemas["History"]>} */ (ask(`${path}/history`, { signal })),
    EVERY_MS,
  );
  const acting = useActing(user, question, recommended.answer);
  return html`
    <${Recommended} user=${user} found=${recommended} acting=${acting}>
      <${Options} user=${user} query=${query} />
    <//>
    <div class="stack">
      <${UserHistory} found=${history} acting=${acting} />
      <${Trending} user=${user} query=${query} acting=${acting} />
    </div>
  `;
}

/** @param {Query} query of the address @returns {Record<string, string>} parameters of the request */
function optionsOf(query) {
  /** @param {Choice} choice */
  const valueOf = ({ name, words }) => ((query[name] ?? "") in words ? query[name] ?? "" : "");
  return Object.fromEntries(CHOICES.map((choice) => [choice.name, valueOf(choice)]).filter(([, value]) => value !== ""));
}

/** @param {{ user: string, query: Query }} props */
function Options({ user, query }) {
  const options = optionsOf(query);
  /** @param {string} name @param {string} value empty: the default */
  const choose = (name, value) => {
    const { [name]: _, ...others } = query;
    location.hash = hrefOf("user", user, value === "" ? others : { ...others, [name]: value });
  };
  return html`<div class="wishes" role="group" aria-label="What to recommend">
    ${CHOICES.map(({ name, title, words }) => html`<label key=${name}>${title} <select
      onChange=${(/** @type {Event} */ event) => choose(name, chosen(event))}>
      ${Object.keys(words).sort().map((value) => html`<option key=${value} value=${value}
        selected=${value === (options[name] ?? "")}>${words[value]}</option>`)}
    </select></label>`)}
  </div>`;
}

/** @param {Event} event */
const chosen = ({ currentTarget }) => /** @type {HTMLSelectElement} */ (currentTarget).value;
