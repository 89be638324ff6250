// A confirmation dialog before a request that needs a scope, and the API's answer.

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client.js";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { adminKey, apiKey } from "../state/session.js";

/** @typedef {import("preact").ComponentChildren} Children */
/** @typedef {{ kind: "asking" | "sending" | "done" | "failed", said: Children, status: number }} Stage */

/** @type {Stage} */
const ASKING = { kind: "asking", said: "", status: 0 };

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} props.verb on the button that does it
 * @param {string} props.scope that it needs
 * @param {() => Promise<Children>} props.act does it; returns the API's answer
 * @param {() => void} props.onClose
 * @param {Children} [props.children] the consequences
 */
export function Question({ title, verb, scope, act, onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [stage, setStage] = useState(ASKING);
  useEffect(() => dialog.current?.showModal(), []);
  const refused = stage.status === 401 || stage.status === 403;
  const done = stage.kind === "done";
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const key = form.get("admin-key");
    if (key !== null) adminKey.update(() => String(key).trim());
    setStage({ ...ASKING, kind: "sending" });
    setStage(await stageAfter(act()));
  };
  return html`
    <dialog class="question" ref=${dialog} aria-labelledby="question-title" onClose=${onClose}>
      <form onSubmit=${submit}>
        <h2 id="question-title">${title}</h2>
        ${!done && children}
        ${!done && html`<${AdminKey} wanted=${refused} scope=${scope} />`}
        <div class=${stage.kind === "failed" ? "note refusal" : "said"} role="status">${stage.said}</div>
        <div class="actions">
          <button type="button" onClick=${() => dialog.current?.close()}>${done ? "Close" : "Cancel"}</button>
          ${!done && html`<button class="primary" disabled=${stage.kind === "sending"}>${verb}</button>`}
        </div>
      </form>
    </dialog>
  `;
}

/** @param {Promise<Children>} acting @returns {Promise<Stage>} */
async function stageAfter(acting) {
  try {
    return { kind: "done", said: await acting, status: 200 };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof Problem) return { kind: "failed", said: `${error.message}.`, status: error.status };
    const said = `${error.message}: it may have been done or not. Look before you try again.`;
    return { kind: "failed", said, status: 0 };
  }
}

/** @param {{ wanted: boolean, scope: string }} props whether a key was rejected; if none is needed, none is requested */
function AdminKey({ wanted, scope }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [own, general] = [useStore(adminKey), useStore(apiKey)];
  useEffect(() => {
    if (wanted) field.current?.focus();
  }, [wanted]);
  if (!wanted && !own && !general) return null;
  return html`
    ${wanted && html`<p class="note refusal" role="alert">This needs a key that has the scope <code>${scope}</code>:
      <code> python -m api keys add NAME --scopes ${scope}</code> makes one.</p>`}
    <label>Admin key, sent only where it is needed; empty: the key of the page
      <input ref=${field} name="admin-key" type="password" autocomplete="off" spellcheck=${false}
        defaultValue=${own} />
    </label>
  `;
}
