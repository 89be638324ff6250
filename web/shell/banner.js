// Whether the page is up to date.

import { failures, longest } from "../state/connection.js";
import { ago, clock } from "../state/format.js";
import { useNow, useStore } from "./hooks.js";
import { html } from "./html.js";

/** Shorter failures are not reported. */
const SHOWN_AFTER_MS = 1000;

/** Says since when answers are missing, and that the page keeps trying. The ticking time is not read aloud. */
export function Banner() {
  const failure = longest(useStore(failures));
  const now = useNow();
  const shown = failure !== null && now - failure.sinceMs >= SHOWN_AFTER_MS;
  return html`<div role="status">
    ${shown &&
    html`<p class="banner"><strong>Cut off since ${clock(failure.sinceMs)}</strong>
      <span aria-hidden="true"> (${ago(now - failure.sinceMs)})</span>. ${failure.reason}.
      What is shown is from before; the page goes on by itself.</p>`}
  </div>`;
}

/** One word in the corner. */
export function Status() {
  const cut = longest(useStore(failures)) !== null;
  return html`<span class=${cut ? "status cut" : "status"}>${cut ? "Cut off" : "Connected"}</span>`;
}

/** @param {{ ms: number }} props an event's time in ms since the epoch */
export function Age({ ms }) {
  const now = useNow();
  return html`<time class="age" datetime=${new Date(ms).toISOString()}>${ago(now - ms)}</time>`;
}
