// The entry point of the page.

import { render } from "preact";
import { App } from "./shell/app.js";
import { html } from "./shell/html.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
render(html`<${App} />`, root);
