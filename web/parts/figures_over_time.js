// Hold-out figures of the default variant's generations, as small line charts over time.

import { html } from "../shell/html.js";
import { minute, percent, whole } from "../state/format.js";

/** @typedef {import("../state/models.js").Point} Point */
/** @typedef {(point: Point) => number} Of */
/** @typedef {{ title: string, of: Of, shown: (value: number) => string, low?: Of, high?: Of }} Figure */

const WIDTH = 280;
const HEIGHT = 84;
const MARGIN = 6;
/** With more of them, dots would hide the line. */
const MOST_DOTS = 40;

const score = (/** @type {number} */ value) => value.toFixed(4);

/** @type {readonly Figure[]} */
const FIGURES = [
  { title: "Accuracy, nDCG@10", of: ({ ndcg }) => ndcg, shown: score, low: ({ low }) => low, high: ({ high }) => high },
  { title: "Coverage of the catalog", of: ({ coverage }) => coverage, shown: percent },
  { title: "Personalization", of: ({ personalization }) => personalization, shown: percent },
  { title: "Users held out", of: ({ users }) => users, shown: whole },
];

/** @param {{ points: readonly Point[], canary: string | null }} props oldest first; the generation on trial */
export function FiguresOverTime({ points, canary }) {
  return html`
    <section class="panel figures" aria-labelledby="figures-title">
      <h2 id="figures-title">Generations over time</h2>
      ${points.length === 0
        ? html`<p class="note">No hold-out is known yet: too few users have enough items to hold any out.</p>`
        : html`<div class="cards">${FIGURES.map((figure) => html`<${Card} key=${figure.title} figure=${figure}
            points=${points} canary=${canary} />`)}</div>
          <p class="note">What users did last, held out of training; the default variant's generations, the canary's
            ringed. The band is the 95 % interval.</p>`}
    </section>
  `;
}

/** @param {{ figure: Figure, points: readonly Point[], canary: string | null }} props */
function Card({ figure, points, canary }) {
  const { title, of, shown } = figure;
  const last = points.at(-1);
  const before = points.at(-2);
  if (last === undefined) return null;
  const [first] = points;
  const [least, most] = [Math.min(...points.map(of)), Math.max(...points.map(of))];
  const label = `${title}: ${shown(of(last))}; of ${points.length} generations ${shown(least)} to ${shown(most)}`;
  return html`<div class="card">
    <h3>${title}</h3>
    <div class="standing">
      <span class="last">${shown(of(last))}</span>
      ${before !== undefined && html`<span class="number age">${changeOf(of(last) - of(before), shown)}</span>`}
    </div>
    <${Line} figure=${figure} points=${points} canary=${canary} label=${label} />
    <div class="ends number"><span>${minute(first?.atMs ?? last.atMs)}</span>
      ${points.length > 1 && html`<span>${minute(last.atMs)}</span>`}</div>
  </div>`;
}

/** @param {number} by @param {Figure["shown"]} shown @returns {string} */
const changeOf = (by, shown) => (by === 0 ? "as before" : `${by > 0 ? "▲" : "▼"} ${shown(Math.abs(by))}`);

/** @param {{ figure: Figure, points: readonly Point[], canary: string | null, label: string }} props */
function Line({ figure, points, canary, label }) {
  const { of, shown, low = of, high = of } = figure;
  const [least, most] = [Math.min(...points.map(low)), Math.max(...points.map(high))];
  const [start, end] = [points[0]?.atMs ?? 0, points.at(-1)?.atMs ?? 0];
  const x = (/** @type {Point} */ { atMs }) =>
    end === start ? WIDTH / 2 : MARGIN + ((atMs - start) / (end - start)) * (WIDTH - 2 * MARGIN);
  const y = (/** @type {number} */ value) =>
    most === least ? HEIGHT / 2 : HEIGHT - MARGIN - ((value - least) / (most - least)) * (HEIGHT - 2 * MARGIN);
  const at = (/** @type {(point: Point) => number} */ height) => (/** @type {Point} */ point) =>
    `${x(point).toFixed(1)},${y(height(point)).toFixed(1)}`;
  const band = [...points.map(at(high)), ...[...points].reverse().map(at(low))];
  const outstanding = (/** @type {Point} */ point) => point === points.at(-1) || point.generation === canary;
  const dotted = points.length <= MOST_DOTS ? points : points.filter(outstanding);
  return html`<svg class="figure" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${label}>
    ${figure.low && html`<polygon points=${band.join(" ")} />`}
    <polyline points=${points.map(at(of)).join(" ")} />
    ${dotted.map((point) => html`<circle key=${point.generation} class=${point.generation === canary ? "canary" : ""}
      r="3" cx=${x(point).toFixed(1)} cy=${y(of(point)).toFixed(1)}
      ><title>${point.generation}: ${shown(of(point))}</title></circle>`)}
  </svg>`;
}
