// Choosing a user: by typing an id, or from a random sample.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

/** @type {readonly string[]} */
const NOBODY = [];
const DRAWN = 12;

/**
 * Draws once automatically, for people who do not know any user yet.
 *
 * @typedef {object} Drawn
 * @property {readonly string[]} users
 * @property {import("../api/client.js").Problem | null} problem
 * @property {boolean} drawn whether there was an answer
 * @property {() => void} draw draws again and shows the first user, unless a person goes elsewhere before
 *
 * @returns {Drawn}
 */
export function useDrawn() {
  const [{ round, from }, setAsked] = useState({ round: 0, from: "" });
  const shown = useRef({ round: 0, users: NOBODY });
  const { answer, problem } = useAnswer(
    `users ${round}`,
    (signal) => /** @type {Promise<Schemas["Sample"]>} */ (ask("/v1/users", { query: { n: DRAWN }, signal })),
  );
  if (answer !== null) shown.current.users = answer.user_ids;
  useEffect(() => {
    if (answer === null || shown.current.round === round) return;
    shown.current.round = round;
    const first = answer.user_ids[0];
    if (first !== undefined && location.hash === from) location.hash = hrefOf("user", first);
  }, [answer, round]);
  const draw = () => setAsked({ round: round + 1, from: location.hash });
  return { users: shown.current.users, problem, drawn: answer !== null, draw };
}

/** @param {{ selected: string, found: Drawn }} props */
export function UserChoice({ selected, found: { users, problem, drawn, draw } }) {
  return html`
    <section class="panel choosing" aria-label="Users">
      <form onSubmit=${show}>
        <label>User <input name="user" type="text" required maxlength="128" autocomplete="off" spellcheck=${false}
          placeholder="An id" /></label>
        <div class="actions"><button type="button" onClick=${draw}>Draw one</button>
          <button class="primary">Show</button></div>
      </form>
      <${Refusal} problem=${problem} />
      ${users.length > 0 && html`<h2>Some users</h2>
        <ul class="rows" aria-label="Drawn">
          ${users.map((user) => html`<li key=${user}><a href=${hrefOf("user", user)}
            aria-current=${user === selected ? "true" : null}>${user}</a></li>`)}
        </ul>`}
      ${drawn && users.length === 0 && html`<p
        class="note">No user has a history yet. You can type in any id.</p>`}
    </section>
  `;
}

/** @param {SubmitEvent} event */
function show(event) {
  event.preventDefault();
  const typed = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get("user");
  if (typed) location.hash = hrefOf("user", String(typed));
}
