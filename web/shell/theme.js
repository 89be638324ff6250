// Light or dark: what the system says, until a person chooses.

import { createStore } from "../state/store.js";

/** @typedef {"light" | "dark"} Theme */

const PLACE = "tickrec.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme | null} */
function chosen() {
  const kept = localStorage.getItem(PLACE);
  return kept === "light" || kept === "dark" ? kept : null;
}

/** @returns {Theme} */
const current = () => chosen() ?? (system.matches ? "dark" : "light");

export const theme = createStore(current());

function apply() {
  document.documentElement.dataset["theme"] = current();
  theme.update(current);
}

/** Take the other one from now on, on this browser. */
export function toggleTheme() {
  localStorage.setItem(PLACE, current() === "dark" ? "light" : "dark");
  apply();
}

system.addEventListener("change", apply);
apply();
