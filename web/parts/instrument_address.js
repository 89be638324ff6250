// The instrument that the address names, by id or symbol.

import { useEffect, useRef } from "preact/hooks";
import { meaning } from "../api/described.js";
import { idOf } from "../api/json.js";
import { useAnswer } from "../shell/hooks.js";
import { rename } from "../shell/router.js";

/** @typedef {import("../api/client.js").Problem} Problem */

/**
 * Puts the symbol into the address in place of the id if both mean the same instrument. An id needs
 * no answer to be shown: the catalog need not know it.
 *
 * @param {string} subject empty: none
 * @returns {{ id: number | null, problem: Problem | null }} problem: why it has no id
 */
export function useInstrument(subject) {
  // The address changes its form while the instrument stays: that must not take it from view.
  const held = useRef({ forms: [""], id: /** @type {number | null} */ (null) });
  const known = held.current.forms.includes(subject);
  const { answer, problem } = useAnswer(known ? null : `meaning of ${subject}`, () => meaning(subject));
  if (answer !== null) held.current = { forms: [subject, answer.subject], id: answer.id };
  else if (subject === "") held.current = { forms: [""], id: null };
  const id = answer?.id ?? (known ? held.current.id : /^\d+$/.test(subject) ? idOf(subject) : null);
  const best = answer?.subject ?? subject;
  useEffect(() => {
    if (best !== subject) rename(subject, best);
  }, [best, subject]);
  return { id, problem: id === null ? problem : null };
}
