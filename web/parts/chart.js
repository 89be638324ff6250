// Candles and volume, drawn by lightweight-charts. The same data is in a table next to it, as a
// canvas is not accessible to screen readers.

import { CandlestickSeries, HistogramSeries, createChart } from "lightweight-charts";
import { useEffect, useRef } from "preact/hooks";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { theme } from "../shell/theme.js";
import { gap, ofDays, places } from "../state/bars.js";
import { digitsOf, minute, price } from "../state/format.js";
import { placeAfter, zone } from "../state/zone.js";

/** @typedef {import("../state/bars.js").Bar} Bar */
/** @typedef {import("../state/bars.js").Interval} Interval */
/** @typedef {import("lightweight-charts").UTCTimestamp} UTCTimestamp */

/** Earlier bars are requested when fewer than this remain to the left of the visible range. */
const MARGIN = 30;
/** With more changes than this, redrawing everything is cheaper. */
const FEW = 50;
/** Number of bars visible at first. */
const MOST_SEEN = 120;
const FEWEST_SEEN = 40;

/** The colors of the style sheet, for drawing on a canvas. */
const COLORS = /** @type {const} */ ({
  text: "--muted",
  accent: "--accent",
  accentFaint: "--accent-faint",
  line: "--line-faint",
  background: "--panel",
  up: "--up",
  down: "--down",
  upFaint: "--up-faint",
  downFaint: "--down-faint",
});

/** @param {{ bars: readonly Bar[], interval: Interval, label: string, onEarlier: () => void }} props */
export function CandleChart({ bars, interval, label, onEarlier }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const drawn = useRef(/** @type {Drawing | null} */ (null));
  const earlier = useRef(onEarlier);
  earlier.current = onEarlier;
  const colors = useStore(theme);
  const times = useStore(zone);
  useEffect(() => {
    const drawing = new Drawing(/** @type {HTMLDivElement} */ (box.current), interval, () => earlier.current());
    drawn.current = drawing;
    return () => drawing.remove();
  }, [interval, times]);
  useEffect(() => drawn.current?.paint(), [interval, times, colors]);
  useEffect(() => drawn.current?.draw(bars), [interval, times, bars, colors]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}

/** A chart and its bars, which are updated in place if possible. */
class Drawing {
  /** @type {Map<number, Bar>} */
  #byTime = new Map();
  /** @type {Map<number, UTCTimestamp>} Places on the axis, by times of bars and of gaps. */
  #places = new Map();
  /** @type {Map<unknown, number>} Times by their places. */
  #times = new Map();
  /** The last time. */
  #last = 0;
  /** Whether the initial visible range was set; after that, the person scrolls. */
  #framed = false;

  /** @param {HTMLElement} box @param {Interval} interval @param {() => void} onEarlier */
  constructor(box, interval, onEarlier) {
    this.interval = interval;
    this.chart = createChart(box, {
      autoSize: true,
      layout: {
        attributionLogo: false, // it injects a style sheet, which the page's policy forbids: see the footer
        fontFamily: getComputedStyle(box).fontFamily,
        fontSize: 11,
      },
      rightPriceScale: { borderVisible: false },
      localization: { timeFormatter: (/** @type {unknown} */ place) => this.#label(place) },
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
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < MARGIN && this.#places.size > 0) onEarlier();
    });
  }

  /** Applies the colors of the theme. */
  paint() {
    const { text, line, up, down, background, upFaint, downFaint } = colorsOf(this.chart.chartElement());
    this.faint = { up: upFaint, down: downFaint };
    this.chart.applyOptions({
      layout: { textColor: text, background: { color: background } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#clear(); // each volume point has its own color: redraw all of them
  }

  /** @param {readonly Bar[]} bars */
  draw(bars) {
    const changed = bars.filter((bar) => this.#byTime.get(bar.t) !== bar);
    const fits = changed.every(({ t }) => t > this.#last || this.#places.has(t));
    if (this.#places.size === 0 || !fits || changed.length > FEW) this.#drawAll(bars);
    else changed.forEach((bar) => this.#drawOne(bar));
    this.#byTime = new Map(bars.map((bar) => [bar.t, bar]));
  }

  /** @param {readonly Bar[]} bars */
  #drawAll(bars) {
    const digits = digitsOf(bars.slice(-100).flatMap(({ h, l }) => [h, l]));
    this.candles.applyOptions({
      priceFormat: {
        type: "custom",
        minMove: 10 ** -digits,
        formatter: (/** @type {number} */ value) => price(value, digits),
      },
    });
    const byTime = new Map(bars.map((bar) => [bar.t, bar]));
    const times = places(bars, this.interval);
    this.#clear();
    times.forEach((t) => this.#append(t));
    this.candles.setData(times.map((t) => this.#candleOf(byTime.get(t) ?? t)));
    this.volume.setData(times.map((t) => this.#columnOf(byTime.get(t) ?? t)));
    if (!this.#framed && times.length > 0) {
      this.#framed = true;
      const seen = Math.min(MOST_SEEN, Math.max(FEWEST_SEEN, times.length));
      this.chart.timeScale().setVisibleLogicalRange({ from: times.length - seen, to: times.length + 3 });
    }
  }

  /** @param {Bar} bar at an existing place, or after the last one */
  #drawOne(bar) {
    const late = bar.t < this.#last;
    if (!late) {
      for (const t of gap(this.#last, bar.t, this.interval)) {
        this.#append(t);
        this.candles.update(this.#candleOf(t));
        this.volume.update(this.#columnOf(t));
      }
      this.#append(bar.t);
    }
    this.candles.update(this.#candleOf(bar), late);
    this.volume.update(this.#columnOf(bar), late);
  }

  /** @param {number} t not before the last one; gives it a place */
  #append(t) {
    if (this.#places.has(t)) return;
    const place = secondsOf(1000 * placeAfter(t, this.#places.get(this.#last) ?? -Infinity));
    this.#places.set(t, place);
    this.#times.set(place, t);
    this.#last = t;
  }

  #clear() {
    this.#places.clear();
    this.#times.clear();
  }

  /** @param {unknown} place @returns {string} its time, for the pointer's label */
  #label(place) {
    const text = minute(this.#times.get(place) ?? 0);
    return ofDays(this.interval) ? text.slice(0, 10) : text;
  }

  /** @param {Bar | number} bar or the time of a place without one */
  #candleOf(bar) {
    if (typeof bar === "number") return { time: this.#placeOf(bar) };
    return { time: this.#placeOf(bar.t), open: bar.o, high: bar.h, low: bar.l, close: bar.c };
  }

  /** @param {Bar | number} bar or the time of a place without one */
  #columnOf(bar) {
    if (typeof bar === "number") return { time: this.#placeOf(bar) };
    const color = bar.c >= bar.o ? this.faint?.up : this.faint?.down;
    return { time: this.#placeOf(bar.t), value: bar.v, ...(color ? { color } : {}) };
  }

  /** @param {number} t */
  #placeOf(t) {
    return /** @type {UTCTimestamp} */ (this.#places.get(t));
  }

  remove() {
    this.chart.remove();
  }
}

/** @param {number} ms @returns {UTCTimestamp} the library's form of a time */
const secondsOf = (ms) => /** @type {UTCTimestamp} */ (ms / 1000);

/** @param {Element} element @returns {Record<keyof typeof COLORS, string>} */
function colorsOf(element) {
  const style = getComputedStyle(element);
  const found = Object.entries(COLORS).map(([name, property]) => [name, style.getPropertyValue(property).trim()]);
  return Object.fromEntries(found);
}
