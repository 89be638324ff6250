// Whether the page is up to date.

import { failures, longest } from "../state/connection.js";
import { ago, clock } from "../state/format.js";
import { useNow, useStore } from "./hooks.js";
import { html } from "./html.js";

/** Shorter failures are not reported. */
const SHOWN_AFTER_MS = 1000;

/** Says since when answers are missing, why, and when the page tries again. Ticking times are not read aloud. */
export function Banner() {
  const failure = longest(useStore(failures));
  const now = useNow();
  const shown = failure !== null && now - failure.sinceMs >= SHOWN_AFTER_MS;
  return html`<div role="status">
    ${shown &&
    html`<p class="banner"><strong>${wordOf(failure)} since ${clock(failure.sinceMs)}</strong>
      <span aria-hidden="true"> (${ago(now - failure.sinceMs)})</span>. ${failure.reason}.
      What is shown is from before; the page goes on by itself<${NextTry} atMs=${failure.againMs} />.</p>`}
  </div>`;
}

/** @param {{ atMs: number | null }} props */
function NextTry({ atMs }) {
  const now = useNow();
  if (atMs === null) return null;
  const s = Math.ceil((atMs - now) / 1000);
  return html`<span aria-hidden="true">, ${s > 0 ? `and tries again in ${s} s` : "and is trying again"}</span>`;
}

/** @param {import("../state/connection.js").Failure} failure */
const wordOf = ({ cutOff }) => (cutOff ? "Cut off" : "Delayed");

/** One word in the corner. */
export function Status() {
  const failure = longest(useStore(failures));
  return html`<span class=${failure ? "status cut" : "status"}>${failure ? wordOf(failure) : "Connected"}</span>`;
}

/** @param {{ ms: number }} props an event's time in ms since the epoch */
export function Age({ ms }) {
  const now = useNow();
  return html`<time class="age" datetime=${new Date(ms).toISOString()}>${ago(now - ms)}</time>`;
}
