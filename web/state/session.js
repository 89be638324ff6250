// What a person set for this visit. The key is in memory only: it ends with the page.

import { createStore } from "./store.js";

/** @type {import("./store.js").Store<string>} An API key; empty without one. */
export const apiKey = createStore("");

/** @type {import("./store.js").Store<string>} A key for what needs the scope `admin`; empty: as `apiKey`. */
export const adminKey = createStore("");
