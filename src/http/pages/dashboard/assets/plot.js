// A uPlot in the colours of the page and the clock of its zone, as wide as its place.

import { clock, date, value } from "./format.js";
import uPlot from "./uplot/uplot.js";
import { local, onZone, zone } from "./zone.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const FONT = "12px system-ui, sans-serif";

/** What a custom property of the style comes to in the theme of now; a canvas knows nothing of them. */
export function colour(name) {
  document.body.style.setProperty("border-color", `var(${name})`);
  const found = getComputedStyle(document.body).borderTopColor;
  document.body.style.removeProperty("border-color");
  return found;
}

/**
 * A plot in `element`, which has to be on the page, until the signal. Times are in milliseconds throughout.
 *
 * `describe()` answers uPlot's `series` and `bands`, without the series of time, anew for each theme. `range()` is the
 * range of times shown; none is that of the data. `options` go to uPlot as they are.
 */
export class Plot {
  constructor(element, { describe, range, options = {} }, signal) {
    this.element = element;
    this.data = null;
    this.make = () => {
      const { series, bands } = describe();
      this.data ??= [[], ...series.map(() => [])];
      this.plot?.destroy();
      this.plot = new uPlot({ ...this.settings(range), series: [{}, ...series], bands, ...options }, this.data, element);
    };
    this.make();
    window.addEventListener("themechange", this.make, { signal });
    onZone(this.make, signal);
    const sizes = new ResizeObserver(() => this.plot.setSize(this.size()));
    sizes.observe(element);
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      this.plot.destroy();
    }, { once: true });
  }

  show(data) {
    this.data = data;
    this.plot.setData(data);
  }

  size() {
    return { width: Math.max(200, Math.floor(this.element.clientWidth)), height: this.element.clientHeight };
  }

  settings(range) {
    const axis = { stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      ...this.size(),
      ms: 1,
      tzDate: (ms) => uPlot.tzDate(new Date(ms), zone()),
      legend: { show: false },
      scales: { x: { time: true, range: range ? () => range() : undefined } },
      axes: [
        { ...axis, space: 80, size: 42, values: (_, splits, __, ___, stepMs) => splits.map((ms, index) => timeLabel(ms, stepMs, index === 0)) },
        { ...axis, values: (_, splits) => splits.map(value), size: (_, labels) => 16 + 7 * Math.max(3, ...(labels ?? []).map(({ length }) => length)) },
      ],
    };
  }
}

/** As short as the step between labels allows; the day stands below where it begins. */
function timeLabel(ms, stepMs, isFirst) {
  if (stepMs >= 360 * DAY_MS) return String(local(ms).year);
  if (stepMs >= 28 * DAY_MS) return date(ms).slice(0, 7);
  if (stepMs >= DAY_MS) return isFirst ? date(ms) : date(ms).slice(5);
  const shown = stepMs >= MINUTE_MS ? clock(ms).slice(0, 5) : clock(ms) + (stepMs < 1000 ? (ms % 1000 / 1000).toFixed(3).slice(1) : "");
  return isFirst || clock(ms) === "00:00:00" ? `${shown}\n${date(ms)}` : shown;
}
