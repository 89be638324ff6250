// Candles and volume, drawn by lightweight-charts. The same data is in a table next to it, as a
// canvas is not accessible to screen readers.

import { CandlestickSeries, HistogramSeries, createChart } from "lightweight-charts";
import { useEffect, useRef } from "preact/hooks";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { theme } from "../shell/theme.js";
import { INTERVALS, gap, places } from "../state/bars.js";
import { digitsOf, price } from "../state/format.js";
import { colorsOf } from "./colors.js";

/** @typedef {import("../state/bars.js").Bar} Bar */
/** @typedef {import("../state/bars.js").Interval} Interval */

/** Earlier bars are requested when fewer than this remain to the left of the visible range. */
const MARGIN = 30;
/** With more changes than this, redrawing everything is cheaper. */
const FEW = 50;
/** Number of bars visible at first. */
const MOST_SEEN = 120;
const FEWEST_SEEN = 40;

/** @param {{ bars: readonly Bar[], interval: Interval, label: string, onEarlier: () => void }} props */
export function CandleChart({ bars, interval, label, onEarlier }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const drawn = useRef(/** @type {Drawing | null} */ (null));
  const earlier = useRef(onEarlier);
  earlier.current = onEarlier;
  const colors = useStore(theme);
  useEffect(() => {
    const drawing = new Drawing(/** @type {HTMLDivElement} */ (box.current), interval, () => earlier.current());
    drawn.current = drawing;
    return () => drawing.remove();
  }, [interval]);
  useEffect(() => drawn.current?.paint(), [interval, colors]);
  useEffect(() => drawn.current?.draw(bars), [interval, bars, colors]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}

/** A chart and its bars, which are updated in place if possible. */
class Drawing {
  /** @type {Map<number, Bar>} */
  #byTime = new Map();
  /** @type {Set<number>} Times of bars and of gaps. */
  #places = new Set();
  /** The last of them. */
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
      timeScale: { borderVisible: false, rightOffset: 4, timeVisible: INTERVALS[interval] < INTERVALS["1d"], secondsVisible: false },
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
    this.#places.clear(); // each volume point has its own color: redraw all of them
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
    this.#places = new Set(times);
    this.#last = times.at(-1) ?? 0;
    this.candles.setData(times.map((t) => candleOf(byTime.get(t) ?? t)));
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
        this.#places.add(t);
        this.candles.update(candleOf(t));
        this.volume.update(this.#columnOf(t));
      }
      this.#places.add(bar.t);
      this.#last = bar.t;
    }
    this.candles.update(candleOf(bar), late);
    this.volume.update(this.#columnOf(bar), late);
  }

  /** @param {Bar | number} bar or the time of a place without one */
  #columnOf(bar) {
    if (typeof bar === "number") return { time: secondsOf(bar) };
    const color = bar.c >= bar.o ? this.faint?.up : this.faint?.down;
    return { time: secondsOf(bar.t), value: bar.v, ...(color ? { color } : {}) };
  }

  remove() {
    this.chart.remove();
  }
}

/** @param {Bar | number} bar or the time of a place without one */
function candleOf(bar) {
  if (typeof bar === "number") return { time: secondsOf(bar) };
  return { time: secondsOf(bar.t), open: bar.o, high: bar.h, low: bar.l, close: bar.c };
}

/** @param {number} ms @returns {import("lightweight-charts").UTCTimestamp} the library's form of a time */
export const secondsOf = (ms) => /** @type {import("lightweight-charts").UTCTimestamp} */ (ms / 1000);
