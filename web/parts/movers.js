// The instruments whose prices rose or fell most.

import { useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { useAnswer, useLast } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { hrefOf } from "../shell/router.js";
import { change, hours } from "../state/format.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const WINDOWS = ["5m", "15m", "1h"];
const DIRECTIONS = /** @type {const} */ ([
  ["up", "Rising"],
  ["down", "Falling"],
]);
const SHOWN = 5;
/** They are ranked once a minute. */
const EVERY_MS = 10_000;

/** @param {{ query: Record<string, string> }} props of the address */
export function Movers({ query }) {
  const [window, setWindow] = useState("1h");
  const { answer, problem } = useAnswer(
    `movers ${window}`,
    (signal) =>
      Promise.all(
        DIRECTIONS.map(([direction]) => {
          const asked = { direction, window, n: SHOWN, names: true };
          return /** @type {Promise<Schemas["Movers"]>} */ (ask("/v1/movers", { query: asked, signal }));
        }),
      ),
    EVERY_MS,
  );
  const shown = useLast(answer);
  const untilMs = shown?.[0]?.as_of ?? null;
  return html`
    <section class="panel movers" aria-labelledby="movers-title">
      <div class="tools">
        <h2 id="movers-title">Movers ${untilMs !== null && html`<span class="age">until ${hours(untilMs)}</span>`}</h2>
        <div role="group" aria-label="Window of the movers">
          ${WINDOWS.map((name) => html`<button key=${name} type="button" aria-pressed=${name === window}
            onClick=${() => setWindow(name)}>${name}</button>`)}
        </div>
      </div>
      <${Refusal} problem=${problem} />
      ${shown?.map(({ direction, movers }, n) => html`<table key=${direction} class="numbers">
        <caption>${DIRECTIONS[n]?.[1]}${movers.length === 0 && (untilMs === null ? ": not ranked yet" : ": none")}</caption>
        <tbody>
          ${movers.map(({ instrument_id: id, symbol, name, ...mover }) => html`<tr key=${id}>
            <th scope="row"><a href=${hrefOf("markets", String(id), query)} title=${name}>${symbol ?? id}</a></th>
            <td class=${direction}>${change(mover.change)}</td>
          </tr>`)}
        </tbody>
      </table>`)}
    </section>
  `;
}
