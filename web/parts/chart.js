// Candles and volume, drawn by lightweight-charts. The same data is in a table next to it, as a
// canvas is not accessible to screen readers.

import { CandlestickSeries, HistogramSeries, createChart } from "lightweight-charts";
import { useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { theme } from "../shell/theme.js";
import { ofDays, places } from "../state/bars.js";
import { change, count, minute, price, trendOf, whole } from "../state/format.js";
import { placeAfter, zone } from "../state/zone.js";
import { Explained } from "./table_head.js";

/** @typedef {import("../state/bars.js").Bar} Bar */
/** @typedef {import("../state/bars.js").Interval} Interval */
/** @typedef {import("lightweight-charts").UTCTimestamp} UTCTimestamp */

/** Earlier bars are requested when fewer than this remain to the left of the visible range. */
const MARGIN = 30;
/** Number of bars visible at first. */
const MOST_SEEN = 120;
const FEWEST_SEEN = 40;

export const BAR_COLORS = "green: closed at or above the open; red: below it";
/** @type {Readonly<Record<string, string>>} */
const NAMES = { O: "Open", H: "High", L: "Low", C: "Close" };
const PARTIAL = "some of its minutes are no longer retained, so these are not the figures of all of it";

/** The colors of the style sheet, for drawing on a canvas. */
const COLORS = /** @type {const} */ ({
  text: "--muted",
  line: "--line-faint",
  background: "--panel",
  up: "--up",
  down: "--down",
  upFaint: "--up-faint",
  downFaint: "--down-faint",
});

/**
 * @param {object} props
 * @param {readonly Bar[]} props.bars
 * @param {boolean} props.loaded whether these are all
 * @param {Interval} props.interval
 * @param {number} props.digits of prices
 * @param {string} props.label
 * @param {() => void} props.onEarlier
 */
export function CandleChart({ bars, loaded, interval, digits, label, onEarlier }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const drawn = useRef(/** @type {Drawing | null} */ (null));
  const earlier = useRef(onEarlier);
  earlier.current = onEarlier;
  const [pointed, setPointed] = useState(/** @type {number | null} */ (null));
  const colors = useStore(theme);
  const times = useStore(zone);
  useEffect(() => {
    const drawing = new Drawing(/** @type {HTMLDivElement} */ (box.current), interval, () => earlier.current(), setPointed);
    drawn.current = drawing;
    return () => drawing.remove();
  }, [interval, times]);
  useEffect(() => drawn.current?.draw(bars, digits), [interval, times, bars, digits, colors]);
  const bar = pointed === null ? bars.at(-1) : bars.find(({ t }) => t === pointed);
  return html`
    <div class="legend">
      ${bar
        ? html`<${Figures} bar=${bar} interval=${interval} digits=${digits} />`
        : html`<span class="age">${pointed !== null ? `${labelOf(pointed, interval)} no quotes` : loaded || "Loading…"}</span>`}
    </div>
    <div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}

/** @param {{ bar: Bar, interval: Interval, digits: number }} props */
function Figures({ bar, interval, digits }) {
  const by = bar.c / bar.o - 1;
  const figures = Object.entries({ O: bar.o, H: bar.h, L: bar.l, C: bar.c });
  return html`
    <time class="age">${labelOf(bar.t, interval)}</time>
    ${figures.map(([name, value]) => html`<span key=${name}><abbr title=${NAMES[name]}>${name}</abbr> ${price(value, digits)}</span>`)}
    <span class=${trendOf(by)}><${Explained} word=${change(by)} why=${BAR_COLORS} /></span>
    <span><abbr title="Volume">V</abbr> ${count(bar.v)}</span>
    <span class="age">${whole(bar.n)} quotes</span>
    ${bar.partial && html`<span class="badge"><${Explained} word="partial" why=${PARTIAL} /></span>`}`;
}

/** @param {number} t @param {Interval} interval @returns {string} */
const labelOf = (t, interval) => (ofDays(interval) ? minute(t).slice(0, 10) : minute(t));

/** A chart and its bars. */
class Drawing {
  /** @type {Map<unknown, number>} Times of bars and of gaps, by their places on the axis. */
  #times = new Map();
  /** Whether the initial visible range was set; after that, the person scrolls. */
  #framed = false;

  /**
   * @param {HTMLElement} box
   * @param {Interval} interval
   * @param {() => void} onEarlier
   * @param {(t: number | null) => void} onPoint called with the time under the pointer or finger; null: outside
   */
  constructor(box, interval, onEarlier, onPoint) {
    this.interval = interval;
    this.chart = createChart(box, {
      autoSize: true,
      layout: {
        attributionLogo: false, // it injects a style sheet, which the page's policy forbids: see the footer
        fontFamily: getComputedStyle(box).fontFamily,
        fontSize: 11,
      },
      rightPriceScale: { borderVisible: false },
      localization: { timeFormatter: (/** @type {unknown} */ place) => labelOf(this.#times.get(place) ?? 0, interval) },
      timeScale: { borderVisible: false, rightOffset: 4, timeVisible: !ofDays(interval), secondsVisible: false },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "volume",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    const point = (/** @type {{ time?: unknown }} */ { time }) => onPoint(this.#times.get(time) ?? null);
    this.chart.subscribeCrosshairMove(point);
    this.chart.subscribeClick(point); // a tap moves no crosshair
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < MARGIN && this.#times.size > 0) onEarlier();
    });
  }

  /** Draws bars in the colors of the theme. @param {readonly Bar[]} bars @param {number} digits of prices */
  draw(bars, digits) {
    const { text, line, up, down, background, upFaint, downFaint } = colorsOf(this.chart.chartElement());
    this.chart.applyOptions({
      layout: { textColor: text, background: { color: background } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
    });
    this.candles.applyOptions({
      ...{ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down },
      priceFormat: {
        type: "custom",
        minMove: 10 ** -digits,
        formatter: (/** @type {number} */ value) => price(value, digits),
      },
    });
    const byTime = new Map(bars.map((bar) => [bar.t, bar]));
    this.#times.clear();
    let last = -Infinity;
    const drawn = places(bars, this.interval).map((t) => {
      last = placeAfter(t, last);
      this.#times.set(last, t);
      return { time: /** @type {UTCTimestamp} */ (last), bar: byTime.get(t) };
    });
    this.candles.setData(
      drawn.map(({ time, bar }) => (bar ? { time, open: bar.o, high: bar.h, low: bar.l, close: bar.c } : { time })),
    );
    this.volume.setData(
      drawn.map(({ time, bar }) => (bar ? { time, value: bar.v, color: bar.c >= bar.o ? upFaint : downFaint } : { time })),
    );
    if (!this.#framed && drawn.length > 0) {
      this.#framed = true;
      const seen = Math.min(MOST_SEEN, Math.max(FEWEST_SEEN, drawn.length));
      this.chart.timeScale().setVisibleLogicalRange({ from: drawn.length - seen, to: drawn.length + 3 });
    }
  }

  remove() {
    this.chart.remove();
  }
}

/** @param {Element} element @returns {Record<keyof typeof COLORS, string>} */
function colorsOf(element) {
  const style = getComputedStyle(element);
  const found = Object.entries(COLORS).map(([name, property]) => [name, style.getPropertyValue(property).trim()]);
  return Object.fromEntries(found);
}
