/** Charts as SVG. Each stands beside a table with the same figures, so readers of screens are told to leave it out. */

import { h, s } from "./dom.js";

const WIDE = 640;
const NARROW = 320;
const HEIGHT = 180;
const LEFT = 46;
const BOTTOM = 22;
const TOP = 10;

/**
 * Bars, one for each value.
 *
 * @param {Array<{label: string, value: number}>} bars from left to right
 * @param {(value: number) => string} show a value in a few characters
 */
export function barChart(bars, show) {
  const width = matchMedia("(max-width: 40rem)").matches ? NARROW : WIDE;
  const most = niceCeiling(Math.max(...bars.map((bar) => bar.value), 1));
  const room = (width - LEFT) / bars.length;
  const height = (value) => ((HEIGHT - TOP - BOTTOM) * value) / most;
  const every = Math.ceil((bars.length * 80) / width);
  const ticks = [0, most / 2, most].map((value) => {
    const y = HEIGHT - BOTTOM - height(value);
    return [
      s("line.grid", { x1: LEFT, x2: width, y1: y, y2: y }),
      s("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, show(value)),
    ];
  });
  const drawn = bars.map((bar, position) => {
    const x = LEFT + position * room;
    const tall = height(bar.value);
    return [
      s("rect.bar", {
        x: x + room * 0.15, width: Math.min(room * 0.7, 48), y: HEIGHT - BOTTOM - tall, height: tall, rx: Math.min(3, tall / 2),
      }, s("title", {}, `${bar.label}: ${show(bar.value)}`)),
      position % every === 0
        && s("text", { x: x + room * 0.15 + Math.min(room * 0.7, 48) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, bar.label),
    ];
  });
  return s("svg.chart", { viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" }, ticks, drawn);
}

/** The next of 1, 2, 2.5, 5 and their tens. */
export function niceCeiling(value) {
  const ten = 10 ** Math.floor(Math.log10(value));
  return ten * [1, 2, 2.5, 5, 10].find((step) => step * ten >= value);
}

/**
 * How much of a limit is used up.
 *
 * @param {number} share 0 to 1, or more
 * @param {number} warnAt share at which there is a warning
 */
export function meter(share, warnAt) {
  const tone = share >= 1 ? "bad" : share >= warnAt ? "warn" : "good";
  const wide = Math.min(share, 1) * 100;
  return s("svg.meter", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "data-tone": tone, "aria-hidden": "true" },
    s("rect.track", { width: 100, height: 4 }),
    wide > 0 && s("rect.spent", { width: wide, height: 4 }),
    s("line.limit", { x1: warnAt * 100, x2: warnAt * 100, y1: 0, y2: 4, "vector-effect": "non-scaling-stroke" }));
}

/** A table of figures; the first column names the rows. */
export function figures(caption, heads, rows) {
  return h("div.wide", { role: "group", "aria-label": caption, tabindex: "0" },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((text, column) => h(column ? "th.number" : "th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([first, ...others]) =>
        h("tr", {}, h("th", { scope: "row" }, first), others.map((text) => h("td.number", {}, text)))))));
}
