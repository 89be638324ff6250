// A person's decisions on models: each is a button with a confirmation dialog.

import { useState } from "preact/hooks";
import { ask } from "../api/client.js";
import { html } from "../shell/html.js";
import { percent } from "../state/format.js";
import { AT_ONCE, promotion, rollback, sharesOf } from "../state/models.js";
import { Question } from "./question.js";
import { TableHead } from "./table_head.js";

/** @typedef {import("../api/client.js").Schemas} Schemas */
/** @typedef {import("../state/models.js").Consequence} Consequence */
/** @typedef {{ currentTarget: HTMLInputElement }} Typed */

const MOST_CHARACTERS = 500;
const NAME = "[A-Za-z0-9_\\-]{1,32}";

/** @param {{ models: Schemas["Models"], experiments: Schemas["Experiments"] | null, onDecided: () => void }} props */
export function Deciding({ models, experiments, onDecided }) {
  const [asked, setAsked] = useState(/** @type {{ what: string, subject: string } | null} */ (null));
  const [promoting, rolling] = [promotion(models), rollback(models)];
  const close = () => setAsked(null);
  const open = (/** @type {string} */ what, /** @type {string} */ subject) => () => setAsked({ what, subject });
  const props = { asked: asked?.subject ?? "", onDecided, onClose: close };
  return html`
    <div class="deciding" role="group" aria-label="Decide">
      <button type="button" disabled=${promoting === null} title=${promoting ? null : "No canary is on trial"}
        onClick=${open("promote", promoting?.subject ?? "")}>Promote…</button>
      <button type="button" disabled=${rolling === null}
        title=${rolling ? null : "No earlier generation is kept: see KEEP_GENERATIONS"}
        onClick=${open("rollback", rolling?.subject ?? "")}>Roll back…</button>
      <button type="button" disabled=${experiments === null} onClick=${open("weights", "")}>Weights…</button>
      ${models.experiment !== null && html`<button type="button"
        onClick=${open("end", models.experiment)}>End experiment…</button>`}
    </div>
    ${asked?.what === "promote" && html`<${Decide} ...${props} title="Promote the canary?" verb="Promote"
      path="promote" now=${promoting} />`}
    ${asked?.what === "rollback" && html`<${Decide} ...${props} title="Roll back?" verb="Roll back"
      path="rollback" now=${rolling} />`}
    ${asked?.what === "weights" && experiments !== null && html`<${Weights} ...${props} experiments=${experiments} />`}
    ${asked?.what === "end" && html`<${End} ...${props} name=${models.experiment} />`}
  `;
}

/**
 * @param {object} props
 * @param {string} props.asked the subject when the dialog was opened
 * @param {string} props.title
 * @param {string} props.verb
 * @param {string} props.path
 * @param {Consequence | null} props.now what would change now
 * @param {() => void} props.onDecided
 * @param {() => void} props.onClose
 */
function Decide({ asked, title, verb, path, now, onDecided, onClose }) {
  const act = async (/** @type {FormData} */ form) => {
    const body = { why: String(form.get("why") ?? "").trim(), expected: now?.expected };
    /** @type {Schemas["Decided"]} */
    const { what, generation, serves } = await ask(`/v1/models/${path}`, { method: "POST", body, asAdmin: true });
    onDecided();
    return `${generation} was ${what}. The default variant serves ${serves}.`;
  };
  return html`
    <${Question} title=${title} verb=${verb} outdated=${now?.subject !== asked} act=${act} onClose=${onClose}>
      <${Facts} facts=${now?.facts ?? []} />
      <label>Why, for the record<textarea name="why" rows="2" maxlength=${MOST_CHARACTERS}></textarea></label>
    <//>`;
}

/** @param {{ facts: readonly string[] }} props */
function Facts({ facts }) {
  return html`<ul class="facts">${facts.map((fact) => html`<li key=${fact}>${fact}</li>`)}</ul>`;
}

/** @param {{ experiments: Schemas["Experiments"], onDecided: () => void, onClose: () => void }} props */
function Weights({ experiments, onDecided, onClose }) {
  const [first] = useState(experiments); // as of when the dialog was opened
  const { name: before, variants: arms } = first;
  const [name, setName] = useState(before ?? "");
  const [typed, setTyped] = useState(() => weightsOf(experiments));
  const weights = Object.fromEntries(Object.entries(typed).map(([variant, weight]) => [variant, Number(weight)]));
  const shares = sharesOf(arms, weights);
  const outdated = JSON.stringify(weightsOf(experiments)) !== JSON.stringify(weightsOf(first));
  const act = async () => {
    /** @type {Schemas["Experiments"]} */
    const now = await ask("/v1/experiments", { method: "PUT", body: { name, weights }, asAdmin: true });
    onDecided();
    const spread = now.variants.map(({ variant, users }) => `${variant} ${percent(users)}`).join(", ");
    return `Experiment ${now.name}: ${spread} of the users.`;
  };
  return html`
    <${Question} title="Assign users to variants" verb="Assign them"
      outdated=${outdated} act=${act} onClose=${onClose}>
      <label>Name of the experiment
        <input name="name" required pattern=${NAME} value=${name} autocomplete="off" spellcheck=${false}
          onInput=${(/** @type {Typed} */ { currentTarget: { value } }) => setName(value)} />
      </label>
      <table class="numbers">
        <${TableHead} titles=${["Variant", "Weight", "Users now", "Users then"]} />
        <tbody>
          ${arms.map(({ variant, users, generation }) => html`<tr key=${variant}>
            <th scope="row">${variant}${generation === null && html` <span class="badge">not served</span>`}</th>
            <td><input class="weight" type="number" min="0" step="any" required aria-label="Weight of ${variant}"
              value=${typed[variant]}
              onInput=${(/** @type {Typed} */ { currentTarget: { value } }) => setTyped({ ...typed, [variant]: value })}
              /></td>
            <td>${percent(users)}</td>
            <td>${percent(shares[variant] ?? 0)}</td>
          </tr>`)}
        </tbody>
      </table>
      <${Facts} facts=${[
        before !== null && name !== before
          ? "A different name assigns users to different groups: most of them may change their variant."
          : "Users move only into a variant whose weight grows, and only out of one whose weight shrinks.",
        AT_ONCE,
      ]} />
    <//>`;
}

/** @param {{ asked: string, name: string | null, onDecided: () => void, onClose: () => void }} props */
function End({ asked, name, onDecided, onClose }) {
  const act = async () => {
    /** @type {Schemas["Experiments"]} */
    await ask("/v1/experiments", { method: "DELETE", asAdmin: true });
    onDecided();
    return `The experiment ${asked} has ended: every user gets the default variant.`;
  };
  const facts = [`Every user gets the default variant: the experiment ${asked} and its weights end.`, AT_ONCE];
  return html`<${Question} title="End the experiment?" verb="End it"
    outdated=${name !== asked} act=${act} onClose=${onClose}>
    <${Facts} facts=${facts} />
  <//>`;
}

/**
 * @param {Schemas["Experiments"]} experiments
 * @returns {Record<string, string>} as typed, by variant; without an experiment, the default one has everything
 */
function weightsOf({ name, variants }) {
  const weight = (/** @type {Schemas["Arm"]} */ arm) =>
    name === null ? Number(arm.variant === "default") : arm.weight;
  return Object.fromEntries(variants.map((arm) => [arm.variant, String(weight(arm))]));
}
