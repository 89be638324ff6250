// One user: the history, recommendations with reasons, and acting as the user.

import { ask } from "../api/client.js";
import { useActing } from "../parts/acting.js";
import { Recommended } from "../parts/recommended.js";
import { Trending } from "../parts/trending.js";
import { UserChoice, useDrawn } from "../parts/user_choice.js";
import { UserHistory } from "../parts/user_history.js";
import { UserRights } from "../parts/user_rights.js";
import { Wishes, wishesOf } from "../parts/wishes.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const SHOWN = 10;
/** An event counts within a second or two. */
const EVERY_MS = 1_000;

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

/** @param {{ user: string, query: import("../parts/wishes.js").Query }} props query: of the address */
function Shown({ user, query }) {
  const wishes = wishesOf(query);
  const question = `recommendations ${user} ${new URLSearchParams(wishes)}`;
  const path = `/v1/users/${encodeURIComponent(user)}`;
  const recommended = useAnswer(
    question,
    (signal) =>
      /** @type {Promise<Schemas["Recommendations"]>} */ (
        ask(`${path}/recommendations`, { query: { n: SHOWN, ...wishes }, signal })
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
      <${Wishes} user=${user} query=${query} />
    <//>
    <div class="stack">
      <${UserHistory} found=${history} acting=${acting} />
      <${Trending} user=${user} query=${query} acting=${acting} />
    </div>
  `;
}
