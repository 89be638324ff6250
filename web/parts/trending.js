// The instruments with the most recent events, which a user can choose from, too.

import { ask } from "../api/client.js";
import { Age } from "../shell/banner.js";
import { useAnswer } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { Unknown } from "../shell/unknown.js";
import { whole } from "../state/format.js";
import { ActButton } from "./user_events.js";
import { NamedLink } from "./instrument_name.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const WINDOWS = ["1h", "6h", "24h", "7d"];
const SHOWN = 10;
/** The API's counting interval. */
const EVERY_MS = 5_000;

/**
 * @param {object} props
 * @param {string} props.user
 * @param {Readonly<Record<string, string>>} props.query of the address, which has the window
 * @param {import("./user_events.js").Acting} props.acting
 */
export function Trending({ user, query: { window: asked = "24h", ...others }, acting }) {
  const window = WINDOWS.includes(asked) ? asked : "24h";
  const { answer, problem } = useAnswer(
    `trending ${window}`,
    (signal) =>
      /** @type {Promise<Schemas["Trending"]>} */ (ask("/v1/trending", { query: { window, n: SHOWN }, signal })),
    EVERY_MS,
  );
  return html`
    <section class="panel" aria-labelledby="trending-title">
      <div class="tools">
        <h2 id="trending-title">Trending</h2>
        <div role="group" aria-label="Window">
          ${WINDOWS.map((name) => html`<a key=${name} class="choice" aria-current=${name === window ? "true" : null}
            href=${hrefOf("user", user, name === "24h" ? others : { ...others, window: name })}>${name}</a>`)}
        </div>
      </div>
      ${asked !== window && html`<${Unknown} what="window" asked=${asked} shown=${window} known=${WINDOWS.join(", ")} />`}
      <${Refusal} problem=${problem} />
      ${answer !== null && answer.items.length > 0 && html`<div class="scroll" tabindex="0" role="region"
        aria-label="Trending">
        <table class="numbers">
          <${TableHead} titles=${["Instrument", "Events", ["", "Act"]]} />
          <tbody>
            ${answer.items.map(({ instrument_id, events }) => html`<tr key=${instrument_id}>
              <th scope="row"><${NamedLink} id=${instrument_id} /></th>
              <td>${whole(events)}</td>
              <td><${ActButton} acting=${acting} id=${instrument_id} /></td>
            </tr>`)}
          </tbody>
        </table>
      </div>`}
      ${answer?.items.length === 0 && html`<p
        class="note">${answer.as_of === null ? "Not counted yet." : "No event in this window."}</p>`}
      ${answer?.as_of != null && html`<p class="note">Counted <${Age}
        ms=${answer.as_of} />; events of everybody.</p>`}
    </section>
  `;
}
