// One line over time, drawn by lightweight-charts, with its meaning in words next to it.

import { AreaSeries, createChart } from "lightweight-charts";
import { useEffect, useRef } from "preact/hooks";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { theme } from "../shell/theme.js";
import { clock } from "../state/format.js";
import { secondsOf } from "./chart.js";
import { colorsOf } from "./colors.js";

/** @typedef {import("../state/pipeline.js").Slot} Slot */
/** @typedef {import("lightweight-charts").UTCTimestamp} UTCTimestamp */

const LABELLED_S = 300;
const INVISIBLE = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };

/**
 * @param {object} props
 * @param {readonly Slot[]} props.slots the time axis
 * @param {readonly (number | null)[]} props.values one for each sample; null: a gap
 * @param {number | null} props.place the sample to mark, as all lines of a page mark the same
 * @param {string} props.label
 * @param {(place: number | null) => void} props.onPlace called with the sample under the pointer, or null
 */
export function Line({ slots, values, place, label, onPlace }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const drawn = useRef(/** @type {Drawing | null} */ (null));
  const callback = useRef(onPlace);
  callback.current = onPlace;
  const colors = useStore(theme);
  useEffect(() => {
    const drawing = new Drawing(/** @type {HTMLDivElement} */ (box.current), (found) => callback.current(found));
    drawn.current = drawing;
    return () => drawing.remove();
  }, [colors]);
  useEffect(() => drawn.current?.draw(slots, values), [slots, values, colors]);
  useEffect(() => drawn.current?.mark(place), [slots, values, place, colors]);
  return html`<div class="line" role="img" aria-label=${label} ref=${box}></div>`;
}

/** A chart of one line, in the colors of its time. */
class Drawing {
  /** @type {readonly Slot[]} */
  #slots = [];
  /** @type {readonly (number | null)[]} */
  #values = [];

  /** @param {HTMLElement} box @param {(place: number | null) => void} onPlace */
  constructor(box, onPlace) {
    const { accent, accentFaint, background, line, text } = colorsOf(box);
    this.chart = createChart(box, {
      autoSize: true,
      handleScale: false,
      handleScroll: false,
      layout: {
        attributionLogo: false, // it injects a style sheet, which the page's policy forbids: see the footer
        background: { color: background },
        fontFamily: getComputedStyle(box).fontFamily,
        fontSize: 10,
        textColor: text,
      },
      crosshair: { horzLine: { visible: false, labelVisible: false }, vertLine: { color: text, labelVisible: false } },
      grid: { vertLines: { color: line }, horzLines: { visible: false } },
      rightPriceScale: { visible: false, scaleMargins: { top: 0.08, bottom: 0.04 } },
      timeScale: {
        allowBoldLabels: false,
        borderVisible: false,
        minBarSpacing: 0.1, // an hour fits a phone
        tickMarkFormatter: labelOf,
        tickMarkMaxCharacterLength: 7, // of five, with room for the first one to move inside the chart
      },
    });
    this.series = this.chart.addSeries(AreaSeries, {
      autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: Math.max(0, ...this.#known()) || 1 } }),
      bottomColor: accentFaint,
      crosshairMarkerRadius: 3,
      lastValueVisible: false,
      lineColor: accent,
      lineWidth: 2,
      priceLineVisible: false,
      topColor: accentFaint,
    });
    this.chart.timeScale().subscribeSizeChange(() => this.#fit());
    this.chart.subscribeCrosshairMove(({ logical }) => {
      const sample = logical === undefined ? undefined : this.#slots[logical]?.sample;
      onPlace(sample ?? null);
    });
  }

  #known() {
    return this.#values.filter((value) => value !== null);
  }

  /** @param {readonly Slot[]} slots @param {readonly (number | null)[]} values */
  draw(slots, values) {
    this.#slots = slots;
    this.#values = values;
    this.series.setData(slots.map((slot) => pointOf(slot, values)));
    this.#fit();
  }

  #fit() {
    this.chart.timeScale().setVisibleLogicalRange({ from: 0, to: this.#slots.length - 1 });
  }

  /** @param {number | null} place */
  mark(place) {
    const value = place === null ? null : (this.#values[place] ?? null);
    const slot = this.#slots.find(({ sample, taken }) => taken && sample === place);
    // The library throws for a position on a line without any value.
    if (value === null || slot === undefined) this.chart.clearCrosshairPosition();
    else this.chart.setCrosshairPosition(value, secondsOf(slot.ms), this.series);
  }

  remove() {
    this.chart.remove();
  }
}

/** @param {UTCTimestamp} time @returns {string} nothing for the odd minutes that the library adds at an end */
const labelOf = (time) => (time % LABELLED_S === 0 ? clock(time * 1000).slice(0, 5) : "");

/** @param {Slot} slot @param {readonly (number | null)[]} values */
function pointOf({ ms, sample, taken }, values) {
  const time = secondsOf(ms);
  const value = taken && sample !== null ? values[sample] : null;
  if (sample === null || value === null || value === undefined) return { time };
  // A line spans what is not there, so the way to an unknown value is not shown.
  return { time, value, ...(values[sample + 1] === null ? INVISIBLE : {}) };
}
