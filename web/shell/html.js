// Markup without a build step: html`<b>${text}</b>`. Inserted values are text, never markup.

import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
