// The search field of the list of instruments: a combobox, by the pattern of the ARIA Authoring
// Practices, whose list stays open.

import { useEffect, useRef } from "preact/hooks";
import { html } from "../shell/html.js";

const PAUSE_MS = 150;
const TYPED_INTO = "input, textarea, select, dialog[open], dialog[open] *";

/**
 * @param {object} props
 * @param {string} props.list id of the list
 * @param {string | null} props.active id of the option that the arrow keys reached
 * @param {boolean} props.open whether the list has options
 * @param {(typed: string) => void} props.onSearch called when typing pauses, and before `onEnter`
 * @param {(step: 1 | -1) => void} props.onMove
 * @param {() => void} props.onEnter
 */
export function Search({ list, active, open, onSearch, onMove, onEnter }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => onSlash(() => field.current?.select()), []);
  const search = () => {
    clearTimeout(timer.current);
    onSearch(field.current?.value.trim() ?? "");
  };
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(search, PAUSE_MS);
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowDown: () => onMove(1),
    ArrowUp: () => onMove(-1),
    Enter() {
      search();
      onEnter();
    },
    Escape() {
      if (!field.current?.value) return field.current?.blur();
      field.current.value = "";
      search();
    },
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    // The empty field has the focus that / asks for, for example after Escape.
    if (event.key === "/" && !field.current?.value) event.preventDefault();
    const act = event.isComposing ? undefined : keys[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  };
  return html`<input class="search" type="text" role="combobox" ref=${field} aria-label="Search by symbol or name"
    aria-autocomplete="list" aria-controls=${list} aria-expanded=${String(open)} aria-activedescendant=${active}
    aria-keyshortcuts="/" placeholder="Symbol or name ( / )" autocomplete="off" autocapitalize="off"
    spellcheck=${false} onInput=${typed} onKeyDown=${pressed} />`;
}

/** @param {() => void} act called when / is pressed outside of fields @returns {() => void} ends it */
function onSlash(act) {
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const { target } = event;
    const isText = target instanceof Element && target.matches(TYPED_INTO);
    if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || isText) return;
    event.preventDefault();
    act();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}
