// The bars of the chart: those read, live ones, and those read again after a live change.
//
// Only minute bars are live. The API computes bars of longer intervals from all of their minutes, so
// a bar is read again when one of its minutes changes.

import { lengthOf, withChanges, withHistory } from "./bars.js";
import { createStore } from "./store.js";

/** @typedef {import("./bars.js").Bar} Bar */
/** @typedef {import("./bars.js").Interval} Interval */
/** @typedef {{ limit: number, start?: number, end?: number }} Range of starts, ms since the epoch, `end` exclusive */
/** @typedef {Pick<import("../api/types").components["schemas"]["Bars"], "bars" | "next_page_token" | "continue_before">} Page */
/** @typedef {(range: Range) => Promise<Page>} Read */
/**
 * @typedef {object} Held
 * @property {readonly Bar[]} bars
 * @property {boolean} loaded whether the newest were read
 * @property {boolean} complete whether there are no earlier ones
 */

const PAGE = 500;
/** Empty pages, such as nights and weekends, that are skipped to find bars. */
const MOST_EMPTY = 12;

/**
 * @param {Interval} interval
 * @param {Read} read
 */
export function createChartBars(interval, read) {
  const store = createStore(/** @type {Held} */ ({ bars: [], loaded: false, complete: false }));
  const step = lengthOf(interval);
  /** @type {Set<number>} Starts of minutes whose bars are to be read again. */
  const dirty = new Set();
  let paging = false;
  let refreshing = false;
  /** @type {number | null} Start of the earliest requested bar. */
  let earliest = null;
  /** When bars were last received, ms since the epoch. */
  let seenMs = Date.now();
  /** Whether a page of the newest bars does not reach back to the held ones, so that some would be missing. */
  const wasAway = () => Date.now() - seenMs > (PAGE - 1) * step;

  /** @param {readonly Bar[]} bars */
  const add = (bars) => store.update((held) => ({ ...held, bars: withHistory(held.bars, bars) }));

  async function loadNewest() {
    const { bars: newest } = await read({ limit: PAGE });
    if (wasAway()) {
      const from = newest[0]?.t ?? Infinity;
      store.update(({ bars, ...held }) => ({ ...held, bars: bars.filter(({ t }) => t >= from), complete: false }));
      earliest = null;
    }
    add(newest);
    seenMs = Date.now();
    store.update((held) => ({ ...held, loaded: true }));
  }

  /** Reads earlier bars: one page, or more if it is empty. */
  async function loadEarlier() {
    const first = store.get().bars[0];
    if (paging || first === undefined || store.get().complete) return;
    paging = true;
    try {
      let end = Math.min(first.t, earliest ?? first.t);
      const oldest = oldestOf(await read({ start: 0, limit: 1 }));
      for (let pages = 0, found = 0; found === 0 && oldest < end && pages < MOST_EMPTY; pages++) {
        const page = await read({ end, limit: PAGE });
        end = page.continue_before ?? end - PAGE * step;
        found = page.bars.length;
        add(page.bars);
      }
      earliest = end;
      store.update((held) => ({ ...held, complete: oldest >= end }));
    } finally {
      paging = false;
    }
  }

  /** @param {readonly Bar[]} minutes bars of one minute that changed */
  async function take(minutes) {
    if (!wasAway()) seenMs = Date.now();
    if (interval === "1m") {
      store.update((held) => ({ ...held, bars: withChanges(held.bars, minutes) }));
      return;
    }
    for (const { t } of minutes) dirty.add(t);
    if (refreshing) return;
    refreshing = true;
    try {
      while (dirty.size > 0) await readAgain();
    } finally {
      refreshing = false;
    }
  }

  /** Reads the bars of all minutes that have changed by now. Only the API knows where a bar begins. */
  async function readAgain() {
    const minutes = [...dirty].sort((one, other) => other - one);
    dirty.clear(); // before they are read: one may change again
    let start = Infinity;
    for (const minute of minutes) {
      if (minute >= start) continue;
      const [bar] = (await read({ end: minute + 1, limit: 1 })).bars;
      if (bar === undefined) continue;
      start = bar.t;
      store.update((held) => ({ ...held, bars: withChanges(held.bars, [bar]) }));
    }
  }

  return { store, loadNewest, loadEarlier, take };
}

/** @typedef {ReturnType<typeof createChartBars>} ChartBars */

/**
 * @param {Page} page the first of all bars
 * @returns {number} start of the oldest bar, or the epoch if not everything was read
 */
function oldestOf({ bars: [oldest], next_page_token }) {
  return oldest?.t ?? (next_page_token === null ? Infinity : 0);
}
