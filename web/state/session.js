// Settings of this visit. The key is in memory only, and is gone when the page is closed.

import { createStore } from "./store.js";

/** @type {import("./store.js").Store<string>} An API key; empty without one. */
export const apiKey = createStore("");

/** @type {import("./store.js").Store<string>} A key for requests that need the scope `admin`; empty: as `apiKey`. */
export const adminKey = createStore("");
