// A small line without axes. What it shows is said in words beside it, so it is hidden from screen readers.

import { s } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 24;

/** `values` in equal steps; null where there is none, which breaks the line. `from` holds the lower end, if given. */
export function sparkline(from = null) {
  const svg = s("svg", {
    class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true",
  });
  const show = (values, steps = values.length) => {
    const known = values.filter((value) => value !== null);
    const low = from ?? Math.min(...known);
    const high = Math.max(...known, from ?? -Infinity);
    const x = (index) => (steps < 2 ? WIDTH : (WIDTH * (index + steps - values.length)) / (steps - 1));
    // In thirds first: the difference of two large doubles may be larger than any double.
    const y = (value) => (high > low ? HEIGHT * (1 - (value / 3 - low / 3) / (high / 3 - low / 3)) : HEIGHT / 2);
    const lines = [];
    let line = [];
    values.forEach((value, index) => {
      if (value === null) {
        lines.push(line);
        line = [];
      } else {
        line.push(`${x(index).toFixed(1)},${y(value).toFixed(1)}`);
      }
    });
    lines.push(line);
    const drawn = lines.filter((points) => points.length > 0).map((points) => {
      // A point of its own still shows, as a short dash.
      const [px, py] = points[0].split(",").map(Number);
      const whole = points.length > 1 ? points : [`${px - 0.8},${py}`, `${px + 0.8},${py}`];
      return s("polyline", { points: whole.join(" ") });
    });
    svg.replaceChildren(...drawn);
  };
  return { element: svg, show };
}
