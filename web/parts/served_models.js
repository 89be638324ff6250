// The served models: variants with their shares of the users, and generations kept for a rollback.

import { Age } from "../shell/banner.js";
import { html } from "../shell/html.js";
import { hrefOf } from "../shell/router.js";
import { percent } from "../state/format.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */

const TITLES = [
  ...["Variant", "Users", "Generation", "Model", "For users"],
  ...["nDCG@10", "95 % interval", "Coverage", "Personalization", "Rules", "Trained"],
];

/** @param {{ models: Schemas["Models"], selected: string }} props the generation whose report is shown */
export function ServedModels({ models, selected }) {
  return html`
    <div class="wide" tabindex="0" role="region" aria-label="Variants">
      <table class="numbers">
        <${TableHead} titles=${TITLES} />
        <tbody>
          ${models.variants.map(({ variant, users, serves }) => html`<${Row} key=${variant} model=${serves}
            selected=${selected} served=${{ name: variant, users }} />`)}
          ${models.previous.map((model) => html`<${Row} key="before ${model.generation}" model=${model}
            selected=${selected} served=${null} />`)}
        </tbody>
      </table>
    </div>
  `;
}

/**
 * @param {object} props
 * @param {Schemas["Model"]} props.model
 * @param {string} props.selected
 * @param {{ name: string, users: number } | null} props.served by which variant, and its share of the users; null: the model is kept for a rollback
 */
function Row({ model, selected, served }) {
  const { generation, report } = model;
  const held = report?.held_out ?? null;
  return html`<tr>
    <th scope="row">${served?.name ?? html`<span class="badge">kept</span>`}</th>
    <td>${served && percent(served.users)}</td>
    <td><a href=${hrefOf("models", generation)}
      aria-current=${generation === selected ? "true" : null}>${generation}</a></td>
    <td>${model.model}</td>
    <td>${model.user_model}</td>
    <td>${held?.ndcg.toFixed(4)}</td>
    <td>${held && `${held.low.toFixed(4)} – ${held.high.toFixed(4)}`}</td>
    <td>${held && percent(held.coverage)}</td>
    <td>${held && percent(held.personalization)}</td>
    <td>${report && html`<${Rules} checked=${report.quality} />`}</td>
    <td>${report ? html`<${Age} ms=${Date.parse(report.finished)} />` : html`<span class="age">no report</span>`}</td>
  </tr>`;
}

/** @param {{ checked: readonly Schemas["Checked"][] }} props */
function Rules({ checked }) {
  const broken = checked.filter(({ holds }) => !holds);
  if (checked.length === 0) return "";
  if (broken.length === 0) return `${checked.length} hold`;
  const tone = broken.some(({ level }) => level === "hard") ? "down" : "warned";
  return html`<strong class=${tone}>${broken.length} of ${checked.length} broken</strong>`;
}
