// One line over time, drawn by uPlot, with its meaning in words next to it.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useStore } from "../shell/hooks.js";
import { html } from "../shell/html.js";
import { theme } from "../shell/theme.js";
import { clock } from "../state/format.js";
import { colorsOf } from "./colors.js";

const HEIGHT = 64;
/** Lines of one group show the same time under the pointer. */
const GROUP = "pipeline";

/**
 * @param {object} props
 * @param {readonly number[]} props.ts ms since the epoch, oldest first
 * @param {readonly (number | null)[]} props.values null: a gap
 * @param {number} props.fromMs where the axis begins
 * @param {number} props.toMs
 * @param {string} props.label
 * @param {(place: number | null) => void} props.onPlace called with the index of the value under the pointer, or null
 */
export function Line({ ts, values, fromMs, toMs, label, onPlace }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const callback = useRef(onPlace);
  callback.current = onPlace;
  const colors = useStore(theme);
  useEffect(() => {
    const element = /** @type {HTMLDivElement} */ (box.current);
    const made = new uPlot(optionsOf(element, (place) => callback.current(place)), [[], []], element);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      made.destroy();
    };
  }, [colors]);
  useEffect(() => {
    plot.current?.setData([ts.map(secondsOf), [...values]], false);
    plot.current?.setScale("x", { min: secondsOf(fromMs), max: secondsOf(toMs) });
  }, [ts, values, fromMs, toMs, colors]);
  return html`<div class="line" role="img" aria-label=${label} ref=${box}></div>`;
}

/** @param {number} ms */
const secondsOf = (ms) => ms / 1000;

/** @param {HTMLElement} box @param {(place: number | null) => void} onPlace @returns {uPlot.Options} */
function optionsOf(box, onPlace) {
  const { accent, accentFaint, line, text } = colorsOf(box);
  const font = `10px ${getComputedStyle(box).fontFamily}`;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [4, 8, 0, 8],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: GROUP }, points: { size: 6 } },
    scales: {
      x: { time: true },
      y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
    },
    axes: [
      {
        size: 16, gap: 2, font, stroke: text, space: 60,
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        values: (_, times) => times.map((s) => clock(s * 1000).slice(0, 5)),
      },
      { show: false },
    ],
    series: [{}, { stroke: accent, width: 1.5, fill: accentFaint, points: { show: false } }],
    hooks: { setCursor: [({ cursor }) => onPlace(cursor.idx ?? null)] },
  };
}
