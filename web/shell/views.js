// The views of the page, in the order of the navigation; the first is where the page starts.

/**
 * @typedef {object} View
 * @property {string} name in the address
 * @property {string} title
 * @property {() => Promise<{ View: import("preact").ComponentType<{ place: import("./router.js").Place }> }>} load
 */

/** @type {readonly [View, ...View[]]} */
export const VIEWS = [
  { name: "markets", title: "Markets", load: () => import("../views/markets.js") },
  { name: "user", title: "For a user", load: () => import("../views/user.js") },
  { name: "pipeline", title: "Pipeline", load: () => import("../views/pipeline.js") },
  { name: "models", title: "Models", load: () => import("../views/models.js") },
];
