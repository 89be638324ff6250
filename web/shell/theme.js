// Light or dark: the system's setting, until a person chooses.

import { createStore } from "../state/store.js";

/** @typedef {"light" | "dark"} Theme */

const PLACE = "tickrec.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const storage = allowedStorage();
/** @type {string | null} What a person chose. */
let choice = storage?.getItem(PLACE) ?? null;

/** @returns {Storage | null} null: the browser stores nothing for this page */
function allowedStorage() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

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
  storage?.setItem(PLACE, choice);
  apply();
}

system.addEventListener("change", apply);
apply();
