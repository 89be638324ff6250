// A user's data rights: export and erasure.

import { useEffect, useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { written } from "../api/json.js";
import { html } from "../shell/html.js";
import { whole } from "../state/format.js";
import { Question } from "./confirmation.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const ERASED = [
  "This removes the history, the user's own lists and the user's part of all counts, for every process.",
  "It cannot be undone. A user who comes back starts with an empty history.",
];

/** @param {{ user: string }} props */
export function UserRights({ user }) {
  const [asked, setAsked] = useState(/** @type {"export" | "erase" | null} */ (null));
  const close = () => setAsked(null);
  return html`
    <section class="panel" aria-labelledby="rights-title">
      <h2 id="rights-title">Data rights of the user</h2>
      <div class="deciding">
        <button type="button" onClick=${() => setAsked("export")}>Export…</button>
        <button type="button" onClick=${() => setAsked("erase")}>Erase…</button>
      </div>
      ${asked === "export" && html`<${Question} title="Export ${user}?" verb="Export" scope="read:users"
        act=${() => exported(user)} onClose=${close}>
        <p>Everything that Redis has about the user: the history with all its figures, the variant, and the lists that
          were made for the user.</p>
      <//>`}
      ${asked === "erase" && html`<${Question} title="Erase ${user}?" verb="Erase" scope="admin"
        act=${() => erased(user)} onClose=${close}>
        <ul class="facts">${ERASED.map((fact) => html`<li key=${fact}>${fact}</li>`)}</ul>
      <//>`}
    </section>
  `;
}

/** @param {string} user */
async function exported(user) {
  const answer = /** @type {Schemas["Export"]} */ (
    await ask(`/v1/users/${encodeURIComponent(user)}/export`, { asAdmin: true })
  );
  return html`<${Exported} answer=${answer} />`;
}

/** @param {string} user @returns {Promise<string>} */
async function erased(user) {
  /** @type {Schemas["Erasing"]} */
  const { user_id } = await ask(`/v1/users/${encodeURIComponent(user)}`, { method: "DELETE", asAdmin: true });
  return `The erasure of ${user_id} is in the log. The history is removed within seconds.`;
}

/** @param {{ answer: Schemas["Export"] }} props */
function Exported({ answer }) {
  const { history, lists, variant, generation } = answer;
  return html`
    <dl>
      <div><dt>Instruments</dt><dd>${whole(history.length)}</dd></div>
      <div><dt>Own lists</dt><dd>${whole(lists.length)}</dd></div>
      <div><dt>Variant</dt><dd>${variant ?? "none"}</dd></div>
      <div><dt>Generation</dt><dd>${generation ?? "none"}</dd></div>
    </dl>
    <pre class="scroll" tabindex="0" role="region" aria-label="The answer">${written(answer, 2)}</pre>
    <${Download} answer=${answer} />
  `;
}

/** @param {{ answer: Schemas["Export"] }} props */
function Download({ answer }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([written(answer, 2)], { type: "application/json" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [answer]);
  return html`<a class="choice" href=${url || null} download="user.json">Download</a>`;
}
