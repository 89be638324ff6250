// Instruments, and the live prices of one of them.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { openBarStream } from "../api/bar_stream.js";
import { meaning } from "../api/instruments.js";
import { idOf } from "../api/json.js";
import { InstrumentList } from "../parts/instrument_list.js";
import { Movers } from "../parts/movers.js";
import { Prices } from "../parts/prices.js";
import { Similar } from "../parts/similar.js";
import { useAnswer, useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { Refusal } from "../shell/key.js";
import { Unknown } from "../shell/unknown.js";
import { rename } from "../shell/router.js";
import { INTERVALS, intervalOf, ofDays } from "../state/bars.js";
import { zone } from "../state/zone.js";

/** @typedef {import("../api/bar_stream.js").LiveBar} LiveBar */
/** @typedef {import("../parts/instrument_list.js").Listed} Listed */

/** @param {{ place: import("../shell/router.js").Place }} props */
export function View({ place }) {
  const asked = place.query["interval"] ?? "1m";
  const interval = intervalOf(asked);
  const [listed, setListed] = useState(/** @type {readonly Listed[]} */ ([]));
  const named = useInstrument(place.subject);
  // The list changes with a search, the instrument that is shown does not.
  const first = useRef(/** @type {number | null} */ (null));
  first.current ??= listed[0]?.instrument_id ?? null;
  const selected = place.subject === "" ? first.current : named.id;
  const chosen = useStore(zone);
  const timezone = ofDays(interval) ? chosen : "UTC";
  const instruments = useMemo(() => followed(selected, listed), [selected, listed]);
  const live = useLive(instruments);
  const query = interval === "1m" ? {} : { interval };
  return html`
    <div class="markets">
      <${InstrumentList} selected=${selected} newest=${live.newest} query=${query} onListed=${setListed} />
      ${selected === null
        ? html`<section class="panel"><${Refusal} problem=${named.problem} />
            ${place.subject === "" && html`<p class="note">Choose an instrument.</p>`}</section>`
        : html`<${Prices} key="${selected} ${interval} ${timezone}" instrument=${selected} place=${place}
              interval=${interval} timezone=${timezone} live=${live}>
            ${asked !== interval && html`<${Unknown} what="interval" asked=${asked} shown=${interval}
              known="${INTERVALS.join(", ")} and other whole numbers of m, h, d or w, up to 1w" />`}
          <//>`}
      <div class="side">
        <${Movers} query=${query} />
        ${selected !== null && html`<${Similar} key=${selected} instrument=${selected} query=${query} />`}
      </div>
    </div>
  `;
}

/**
 * Puts the symbol into the address in place of the id if both mean the same instrument. An id needs
 * no answer to be shown: the catalog need not know it.
 *
 * @param {string} subject empty: none
 * @returns {{ id: number | null, problem: import("../api/client.js").Problem | null }} problem: why it has no id
 */
function useInstrument(subject) {
  // The address changes its form while the instrument stays: that must not take it from view.
  const held = useRef({ forms: [""], id: /** @type {number | null} */ (null) });
  const known = held.current.forms.includes(subject);
  const { answer, problem } = useAnswer(known ? null : `meaning of ${subject}`, () => meaning(subject));
  if (answer !== null) held.current = { forms: [subject, answer.subject], id: answer.id };
  else if (subject === "") held.current = { forms: [""], id: null };
  const id = answer?.id ?? (known ? held.current.id : /^\d+$/.test(subject) ? idOf(subject) : null);
  const best = answer?.subject ?? subject;
  useEffect(() => {
    if (best !== subject) rename(subject, best);
  }, [best, subject]);
  return { id, problem: id === null ? problem : null };
}

/** @param {number | null} selected @param {readonly Listed[]} listed @returns {readonly number[]} */
function followed(selected, listed) {
  const ids = listed.map(({ instrument_id }) => instrument_id);
  return [...new Set(selected === null ? ids : [selected, ...ids])].sort((one, other) => (one < other ? -1 : 1));
}

/**
 * @typedef {object} Live
 * @property {ReadonlyMap<number, LiveBar>} newest the newest bar of each instrument
 * @property {number} lives how often the newest bars were complete after a (re)connection
 * @property {import("../api/client.js").Problem | null} problem why there is no data, if the API rejects the stream
 * @property {(listener: (bars: LiveBar[]) => void) => () => void} listen to all bars; returns what ends it
 */

/** @param {readonly number[]} instruments @returns {Live} */
function useLive(instruments) {
  const [newest, setNewest] = useState(/** @type {ReadonlyMap<number, LiveBar>} */ (new Map()));
  const [lives, setLives] = useState(0);
  const [problem, setProblem] = useState(/** @type {Live["problem"]} */ (null));
  const listeners = useMemo(() => new Set(/** @type {((bars: LiveBar[]) => void)[]} */ ([])), []);
  const key = instruments.join(",");
  useEffect(() => {
    if (instruments.length === 0) return undefined;
    setProblem(null);
    return openBarStream(instruments, {
      onBars(bars) {
        setNewest((held) => withNewest(held, bars));
        for (const listener of listeners) listener(bars);
      },
      onLive: () => setLives((before) => before + 1),
      onProblem: setProblem,
    });
  }, [key]);
  const listen = useCallback((/** @type {(bars: LiveBar[]) => void} */ listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return { newest, lives, problem, listen };
}

/** @param {ReadonlyMap<number, LiveBar>} held @param {LiveBar[]} bars @returns {ReadonlyMap<number, LiveBar>} */
function withNewest(held, bars) {
  const merged = new Map(held);
  for (const bar of bars) {
    if (bar.t >= (held.get(bar.instrument_id)?.t ?? 0)) merged.set(bar.instrument_id, bar);
  }
  return merged;
}
