// Light or dark: the system's setting, until a person chooses.

import { remember, remembered } from "../state/storage.js";
import { createStore } from "../state/store.js";

/** @typedef {"light" | "dark"} Theme */

const NAME = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
/** @type {string | null} What a person chose. */
let choice = remembered(NAME);

/** @returns {Theme} */
function current() {
  if (choice === "light" || choice === "dark") return choice;
  return system.matches ? "dark" : "light";
}

export const theme = createStore(current());

function apply() {
  document.documentElement.dataset["theme"] = current();
  theme.update(current);
}

/** Switches the theme, and stores the choice if the browser allows it. */
export function toggleTheme() {
  choice = current() === "dark" ? "light" : "dark";
  remember(NAME, choice);
  apply();
}

system.addEventListener("change", apply);
apply();
