// Acting as a user: publishes an event in the user's name, which may change the answer.

import { useState } from "preact/hooks";
import { Problem, ask } from "../api/client.js";
import { html } from "../shell/html.js";
import { KINDS, eventOf, feedbackOf } from "../state/event_types.js";
import { useNames } from "./instrument_name.js";

/** @typedef {import("../api/client.js").Schemas["Recommendations"]} Recommendations */
/** @typedef {import("../state/event_types.js").Kind} Kind */
/**
 * @typedef {object} Act
 * @property {number} instrument
 * @property {Kind} kind
 * @property {"sending" | "sent" | "failed"} stage
 * @property {number} atMs when it was sent or, by then, acknowledged; ms since the epoch
 * @property {Recommendations | null} before the answer that was shown
 * @property {string} said why it failed, or which part of it did
 */
/**
 * @typedef {object} Acting
 * @property {Kind} kind of the next act
 * @property {(kind: Kind) => void} setKind
 * @property {Act | null} last
 * @property {(instrument: number, kind?: Kind) => void} act of the chosen kind, unless one is given
 */

/**
 * @param {string} user
 * @param {string} question that `shown` answers: what an act changed is forgotten with it
 * @param {Recommendations | null} shown
 * @returns {Acting}
 */
export function useActing(user, question, shown) {
  const [kind, setKind] = useState(/** @type {Kind} */ ("click"));
  const [held, setHeld] = useState({ question, last: /** @type {Act | null} */ (null) });
  if (held.question !== question) setHeld({ question, last: null });
  const last = held.question === question ? held.last : null;
  const act = async (/** @type {number} */ instrument, /** @type {Kind} */ acted = kind) => {
    /** @type {Act} */
    const sending = { instrument, kind: acted, stage: "sending", atMs: Date.now(), before: shown, said: "" };
    setHeld({ question, last: sending });
    const done = await published(user, sending);
    setHeld((now) => (now.last === sending ? { question, last: done } : now));
  };
  return { kind, setKind, last, act };
}

/** @param {string} user @param {Act} act @returns {Promise<Act>} how it went */
async function published(user, act) {
  const { instrument, kind, before } = act;
  try {
    await ask("/v1/events", { method: "POST", body: eventOf(user, instrument, kind, Date.now()) });
  } catch (error) {
    return { ...act, stage: "failed", said: refusalOf(error) };
  }
  const feedback = before === null ? [] : feedbackOf(before, instrument, kind);
  const atMs = Date.now();
  try {
    if (feedback.length > 0) await ask("/v1/feedback", { method: "POST", body: feedback });
    return { ...act, stage: "sent", atMs };
  } catch (error) {
    return { ...act, stage: "sent", atMs, said: `The feedback on it failed: ${refusalOf(error)}` };
  }
}

/** @param {unknown} error @returns {string} */
function refusalOf(error) {
  if (!(error instanceof Error)) throw error;
  if (!(error instanceof Problem)) return `${error.message}: it may be published or not.`;
  const needed = error.status === 401 || error.status === 403 ? " This needs a key that has the scope write." : "";
  return `${error.message}.${needed}`;
}

/** @param {{ acting: Acting }} props which type of event is published */
export function KindChoice({ acting }) {
  return html`<div class="kinds" role="group" aria-label="Act as the user">
    ${/** @type {[Kind, string][]} */ (Object.entries(KINDS)).map(
      ([kind, title]) => html`<button key=${kind} type="button" aria-pressed=${kind === acting.kind}
        onClick=${() => acting.setKind(kind)}>${title}</button>`,
    )}
  </div>`;
}

/** @param {{ acting: Acting, id: number }} props */
export function ActButton({ acting, id }) {
  const { symbol } = useNames(id);
  const title = KINDS[acting.kind];
  return html`<button class="act" type="button" disabled=${acting.last?.stage === "sending"}
    aria-label="${title} ${symbol}" onClick=${() => acting.act(id)}>${title}</button>`;
}

/** @param {{ acting: Acting, id: number }} props takes a hide or a dislike back, as any other event does */
export function UndoButton({ acting, id }) {
  const { symbol } = useNames(id);
  return html`<button class="act" type="button" disabled=${acting.last?.stage === "sending"}
    aria-label="Undo: view ${symbol}" title="Publishes a view, which takes it back"
    onClick=${() => acting.act(id, "view")}>Undo</button>`;
}
