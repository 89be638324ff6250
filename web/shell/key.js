// The API key that a person enters, and the message if one is missing.

import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey } from "../state/session.js";
import { useStore } from "./hooks.js";
import { html } from "./html.js";

export function KeyButton() {
  const [open, setOpen] = useState(false);
  const key = useStore(apiKey);
  return html`
    <button class="quiet" type="button" onClick=${() => setOpen(true)}>${key ? "Key set" : "API key"}</button>
    ${open && html`<${KeyDialog} onClose=${() => setOpen(false)} />`}
  `;
}

/** @param {{ onClose: () => void }} props It is recreated each time, so input that was not submitted is discarded. */
function KeyDialog({ onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => dialog.current?.showModal(), []);
  return html`
    <dialog ref=${dialog} aria-labelledby="key-title" onClose=${onClose}>
      <form method="dialog" onSubmit=${take}>
        <h2 id="key-title">API key</h2>
        <p>It is sent with each request, and forgotten when the page is closed.</p>
        <label>Key<input name="key" type="password" autocomplete="off" spellcheck=${false}
          defaultValue=${apiKey.get()} /></label>
        <div class="actions">
          <button type="button" onClick=${() => dialog.current?.close()}>Cancel</button>
          <button class="primary">Use it</button>
        </div>
      </form>
    </dialog>
  `;
}

/** @param {SubmitEvent} event */
function take(event) {
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const typed = new FormData(form).get("key");
  apiKey.update(() => String(typed ?? "").trim());
}

/** @param {{ problem: import("../api/client.js").Problem | null }} props why there is no answer, in the API's words */
export function Refusal({ problem }) {
  if (problem === null) return null;
  const refused = problem.status === 401 || problem.status === 403;
  const advice = refused ? ` Enter ${apiKey.get() ? "another one" : "one"} with the button above.` : "";
  return html`<p class="note refusal" role="alert">${problem.message}.${advice}</p>`;
}
