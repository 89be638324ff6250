// One user: the history, recommendations with reasons, and acting as the user.

import { ask } from "../api/client.js";
import { useActing } from "../parts/acting.js";
import { Recommended } from "../parts/recommended.js";
import { Trending } from "../parts/trending.js";
import { UserChoice, useDrawn } from "../parts/user_choice.js";
import { UserHistory } from "../parts/user_history.js";
import { UserRights } from "../parts/user_rights.js";
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
        : html`<${Shown} key=${user} user=${user} trendingIn=${place.query["window"]} />`}
    </div>
  `;
}

/** @param {{ user: string, trendingIn: string | undefined }} props */
function Shown({ user, trendingIn }) {
  const path = `/v1/users/${encodeURIComponent(user)}`;
  const recommended = useAnswer(
    `recommendations ${user}`,
    (signal) =>
      /** @type {Promise<Schemas["Recommendations"]>} */ (
        ask(`${path}/recommendations`, { query: { n: SHOWN }, signal })
      ),
    EVERY_MS,
  );
  const history = useAnswer(
    `history ${user}`,
    (signal) => /** @type {Promise<Schemas["History"]>} */ (ask(`${path}/history`, { signal })),
    EVERY_MS,
  );
  const acting = useActing(user, recommended.answer);
  return html`
    <${Recommended} user=${user} found=${recommended} acting=${acting} />
    <div class="stack">
      <${UserHistory} found=${history} />
      <${Trending} user=${user} asked=${trendingIn} acting=${acting} />
    </div>
  `;
}
