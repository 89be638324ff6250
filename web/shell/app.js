// The frame around the views: navigation, shared elements, and the selected view.

import { Component } from "preact";
import { useEffect, useState } from "preact/hooks";
import { repeatedly } from "../api/requests.js";
import { Unreachable } from "../api/client.js";
import { ZONES, chooseZone, zone } from "../state/zone.js";
import { Banner, Status } from "./banner.js";
import { useStore } from "./hooks.js";
import { html } from "./html.js";
import { KeyButton } from "./key.js";
import { hrefOf, place } from "./router.js";
import { theme, toggleTheme } from "./theme.js";
import { Unknown } from "./unknown.js";

/**
 * @typedef {object} View
 * @property {string} name in the address
 * @property {string} title
 * @property {() => Promise<{ View: import("preact").ComponentType<{ place: import("./router.js").Place }> }>} load
 */

/** In the order of the navigation; the page starts with the first. @type {readonly [View, ...View[]]} */
const VIEWS = [
  { name: "markets", title: "Markets", load: () => import("../views/markets.js") },
  { name: "user", title: "For a user", load: () => import("../views/user.js") },
  { name: "pipeline", title: "Pipeline", load: () => import("../views/pipeline.js") },
  { name: "models", title: "Models", load: () => import("../views/models.js") },
];

const LIBRARY = "https://www.tradingview.com/lightweight-charts/";

export function App() {
  const here = useStore(place);
  useStore(zone); // of all times below
  const view = here.view === "" ? VIEWS[0] : VIEWS.find(({ name }) => name === here.view);
  useEffect(() => {
    document.title = `${view?.title ?? "Unknown"} · Tickrec`;
  }, [view]);
  return html`
    <a class="skip" href="#main" onClick=${toMain}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href=${hrefOf(VIEWS[0].name)}
        ><img src="/page/icon.svg" alt="" width="20" height="20" />Tickrec</a>
      <nav aria-label="Views">
        ${VIEWS.map(
          ({ name, title }) =>
            html`<a key=${name} href=${hrefOf(name)} aria-current=${name === view?.name ? "page" : null}>${title}</a>`,
        )}
      </nav>
      <${Status} />
      <${KeyButton} />
      <${ThemeButton} />
    </header>
    <${Banner} />
    <main id="main" tabindex="-1">${view
      ? html`<${Loaded} key=${view.name} view=${view} place=${here} />`
      : html`<section class="panel"><${Unknown} what="view" asked=${here.view}
          known=${VIEWS.map(({ name }) => name).join(", ")} /></section>`}</main>
    <footer>
      <${ZoneChoice} />
      <a href=${LIBRARY} target="_blank"
        rel="noreferrer">TradingView Lightweight Charts™, © 2026 TradingView, Inc.</a>
    </footer>
  `;
}

/** All parts of the page follow it: they are rendered again with the frame, or follow the store. */
function ZoneChoice() {
  const chosen = useStore(zone);
  /** @param {Event} event */
  const choose = (event) => chooseZone(/** @type {HTMLSelectElement} */ (event.currentTarget).value);
  return html`<label class="zone">Time zone <select onChange=${choose}>
    ${ZONES.map((name) => html`<option key=${name} value=${name} selected=${name === chosen}>${name.replaceAll("_", " ")}</option>`)}
  </select></label>`;
}

/** @param {Event} event */
function toMain(event) {
  event.preventDefault(); // the hash selects the view
  document.getElementById("main")?.focus();
}

function ThemeButton() {
  const other = useStore(theme) === "dark" ? "light" : "dark";
  return html`<button class="quiet" type="button" title="Use the ${other} theme" onClick=${toggleTheme}>
    ${other === "light" ? "Light" : "Dark"}
  </button>`;
}

/** @param {{ view: View, place: import("./router.js").Place }} props */
function Loaded({ view, place }) {
  const [found, setFound] = useState(
    /** @type {{ View: import("preact").ComponentType<{ place: import("./router.js").Place }> } | null} */ (null),
  );
  useEffect(() => {
    const ending = new AbortController();
    repeatedly(`view ${view.name}`, () => view.load().catch(notLoaded), {
      everyMs: null,
      signal: ending.signal,
      onAnswer: setFound,
      onProblem: () => {},
    });
    return () => ending.abort();
  }, [view]);
  if (found === null) return html`<p class="note">Loading…</p>`;
  return html`<${Contained}><${found.View} place=${place} /><//>`;
}

/** @returns {never} */
function notLoaded() {
  throw new Unreachable("A file of the page could not be loaded");
}

/** Keeps a bug in a view from taking the rest of the page with it. */
class Contained extends Component {
  /** @override @type {{ failed: boolean }} */
  state = { failed: false };

  /** @param {unknown} error @override */
  componentDidCatch(error) {
    console.error(error);
    this.setState({ failed: true });
  }

  /** @override */
  render() {
    if (!this.state.failed) return this.props.children;
    return html`<p class="note" role="alert">This view failed, which is a bug. See the browser's console for details.</p>`;
  }
}
