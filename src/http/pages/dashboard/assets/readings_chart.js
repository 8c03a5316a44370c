// The chart of a sensor's readings. The api answers about a point for each pixel, whatever the range.

import { noteInAddress } from "./address.js";
import { json, withQuery } from "./api.js";
import { announce, h, pause, setText, table } from "./dom.js";
import { downloadCsv } from "./download.js";
import { count, exactTime, time, value } from "./format.js";
import { Plot, colour } from "./plot.js";
import { bounded, lastOf, moved, scaled, withGaps } from "./view.js";
import { onZone } from "./zone.js";

const DAY_MS = 86_400_000;
const PRESETS = [
  ["All", null], ["1 year", 365 * DAY_MS], ["90 d", 90 * DAY_MS], ["30 d", 30 * DAY_MS], ["7 d", 7 * DAY_MS],
  ["1 d", DAY_MS], ["1 h", 3_600_000], ["1 min", 60_000],
];
const DEBOUNCE_MS = 150;
const INCOMPLETE_RETRY_MS = 500;
const INCOMPLETE_RETRY_MAX_MS = 5_000;
const KEYS = {
  ArrowLeft: (view) => moved(view, -0.25), ArrowRight: (view) => moved(view, 0.25),
  "+": (view) => scaled(view, 0.5), "=": (view) => scaled(view, 0.5), "-": (view) => scaled(view, 2), Home: () => null,
};

export class ReadingsChart {
  /** `latestMs()` is the time of the latest reading as far as it is known. */
  constructor(id, { query, latestMs, signal }) {
    this.id = id;
    this.signal = signal;
    this.latestMs = latestMs;
    this.view = viewOf(query);
    this.answer = null;
    this.columns = [[], [], [], [], []];
    this.loading = new AbortController();
    this.presets = PRESETS.map(([name, spanMs]) => button(name, () => this.preset(spanMs), spanMs));
    this.status = h("p", { class: "chart-says", role: "status", id: "chart-status" });
    this.readout = h("p", { class: "chart-says", "aria-hidden": "true" });
    this.empty = h("div", { class: "chart-empty", hidden: true });
    this.wrong = h("div", { class: "notice error", role: "alert", hidden: true });
    this.place = h("div", {
      class: "chart is-tall", tabindex: "0", role: "group", "aria-label": "Chart of the readings", "aria-describedby": "chart-keys",
      on: { keydown: (event) => this.pressed(event), dblclick: () => this.look(scaled(this.shown(), 4)) },
    }, this.empty);
    // Not passive: where the wheel zooms, the window must not zoom, too.
    this.place.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    this.rows = h("tbody");
    this.asTable = h("details", { on: { toggle: () => this.drawTable() } }, h("summary", {}, "The same as a table"),
      table("Points of the chart", [["From"], ["Average", "number"], ["Minimum", "number"], ["Maximum", "number"], ["Readings", "number"]], this.rows));
    this.element = h("section", { class: "panel", "aria-labelledby": "readings" },
      h("div", { class: "row apart" }, h("h2", { id: "readings" }, "Readings"),
        h("div", { class: "group", role: "group", "aria-label": "Range" }, this.presets.map(({ element }) => element)),
        h("div", { class: "group", role: "group", "aria-label": "Move and zoom" },
          button("←", () => this.look(moved(this.shown(), -0.5)), null, "Earlier").element,
          button("→", () => this.look(moved(this.shown(), 0.5)), null, "Later").element,
          button("−", () => this.look(scaled(this.shown(), 2)), null, "Zoom out").element,
          button("+", () => this.look(scaled(this.shown(), 0.5)), null, "Zoom in").element)),
      this.place, this.readout, this.status, this.wrong,
      h("p", { class: "muted" }, h("span", { class: "key line" }), "average ", h("span", { class: "key" }), "minimum to maximum. ",
        h("span", { id: "chart-keys" }, "Drag to zoom in, double-click to zoom out, Shift and drag to move; or arrow keys, + and −, Home for all.")),
      h("div", { class: "row" },
        button("CSV of this range", () => this.download(this.shown())).element,
        button("CSV of all readings", () => this.download(null)).element),
      this.asTable);
  }

  /** Once it is on the page. */
  async start() {
    const drag = { x: true, y: false, setScale: false, dist: 4 };
    this.plot = new Plot(this.place, {
      range: () => [this.shown().start, this.shown().end],
      describe: () => {
        const [line, envelope] = [colour("--accent"), colour("--envelope")];
        // So that a spike of a single point shows, too.
        const edge = { stroke: colour("--edge"), width: 1, points: { show: false } };
        return { series: [edge, edge, { stroke: line, width: 1.5, points: { size: 5, stroke: line, fill: line } }, { show: false, scale: "count" }],
          bands: [{ series: [2, 1], fill: envelope }] };
      },
      options: {
        cursor: { drag, points: { show: false }, bind: { mousedown: (plot, _, usual) => (event) => (event.shiftKey ? this.grab(plot, event) : usual(event)), dblclick: () => null } },
        hooks: { setSelect: [(plot) => this.selected(plot)], setCursor: [(plot) => this.pointed(plot)] },
      },
    }, this.signal);
    onZone(() => { this.say(); this.drawTable(); }, this.signal);
    await this.load();
  }

  /** The range on the chart, also where nobody chose one. */
  shown() {
    const { view, answer } = this;
    return view ?? (answer ? bounded(answer) : lastOf(Date.now(), DAY_MS));
  }

  /** The range that is asked for; null is all there is. */
  look(view) {
    this.view = view;
    this.note();
    const { start, end } = this.shown();
    this.plot.plot.setScale("x", { min: start, max: end });
    this.place.classList.add("is-busy");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), DEBOUNCE_MS);
  }

  preset(spanMs) {
    const end = (this.latestMs() ?? Date.now()) + 1;
    this.look(spanMs === null ? null : lastOf(end, spanMs));
  }

  /** Shows what came just now, where the end of the chart is where things come. */
  follow(latestMs) {
    const { start, end } = this.shown();
    const span = end - start;
    if (this.view !== null && latestMs >= end && latestMs - end < span) this.view = lastOf(latestMs + 1, span);
    return this.load();
  }

  note() {
    const { view } = this;
    const iso = (ms) => new Date(ms).toISOString();
    noteInAddress(`sensors/${this.id}`, view ? { start: iso(view.start), end: iso(view.end) } : {});
    const span = view ? view.end - view.start : null;
    for (const { element, spanMs } of this.presets) element.setAttribute("aria-pressed", String(spanMs === span));
  }

  async load() {
    this.loading.abort();
    this.loading = new AbortController();
    const signal = AbortSignal.any([this.signal, this.loading.signal]);
    const { view } = this;
    const range = view ? { start: new Date(view.start).toISOString(), end: new Date(view.end).toISOString() } : {};
    const path = withQuery(`sensors/${this.id}/chart`, { ...range, width: Math.max(100, Math.round(this.place.clientWidth)) });
    this.place.classList.add("is-busy");
    try {
      for (let pauseMs = INCOMPLETE_RETRY_MS; ; pauseMs = Math.min(pauseMs * 1.5, INCOMPLETE_RETRY_MAX_MS)) {
        const answer = await json(path, { signal });
        this.take(answer);
        if (answer.complete) break;
        await pause(pauseMs, signal);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.wrong.hidden = false;
      setText(this.wrong, `${error.message} ${this.answer ? "The chart shows what was there before." : ""}`);
    } finally {
      if (!signal.aborted) this.place.classList.remove("is-busy");
    }
  }

  take(answer) {
    this.wrong.hidden = true;
    this.answer = { ...answer, start: toMs(answer.start), end: toMs(answer.end) };
    this.columns = withGaps(answer.points);
    this.plot.show(this.columns);
    Object.assign(this.place.dataset, { bucket: answer.bucket, points: answer.points.time.length });
    this.note();
    this.say();
    this.drawTable();
  }

  say() {
    const { answer } = this;
    if (answer === null) return;
    const points = answer.points.time.length;
    const { start, end } = this.shown();
    const what = answer.bucket === "raw" ? `every reading: ${count(points)}` : `${count(points)} points, each of ${answer.bucket}`;
    const rest = answer.complete ? "" : "; the rest is being worked out";
    setText(this.status, points === 0 ? "" : `${time(start)} to ${time(end)}: ${what}${rest}`);
    this.empty.hidden = points > 0 || !answer.complete;
    if (!this.empty.hidden) {
      this.empty.replaceChildren(...(this.view === null
        ? ["No readings yet. Send one below."]
        : ["No readings in this range.", button("Show all readings", () => this.look(null)).element]));
      announce("No readings in this range.");
    }
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [start, end] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.look(bounded({ start, end }));
  }

  grab(plot, event) {
    const from = this.shown();
    const perPixel = (from.end - from.start) / plot.over.clientWidth;
    const move = ({ clientX }) => {
      const by = (event.clientX - clientX) * perPixel;
      this.look(bounded({ start: from.start + by, end: from.end + by }));
    };
    window.addEventListener("mousemove", move, { signal: this.signal });
    window.addEventListener("mouseup", () => window.removeEventListener("mousemove", move), { once: true });
  }

  /** With Ctrl, as pinching a touchpad is, too: without it the wheel scrolls the page. */
  wheeled(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const { left, width } = this.plot.plot.over.getBoundingClientRect();
    const { start, end } = this.shown();
    const around = start + ((end - start) * (event.clientX - left)) / width;
    this.look(scaled(this.shown(), event.deltaY > 0 ? 1.25 : 0.8, around));
  }

  pressed(event) {
    const change = KEYS[event.key];
    if (!change || event.ctrlKey || event.metaKey || event.altKey || event.target !== this.place) return;
    event.preventDefault();
    this.look(change(this.shown()));
  }

  pointed({ cursor: { idx } }) {
    const [times, min, max, avg, counts] = this.columns;
    if (idx === null || idx === undefined || avg[idx] === null || avg[idx] === undefined) {
      setText(this.readout, "");
      return;
    }
    const spread = counts[idx] > 1 ? `average of ${count(counts[idx])}, from ${value(min[idx])} to ${value(max[idx])}` : "one reading";
    setText(this.readout, `${exactTime(times[idx])}: ${value(avg[idx])}, ${spread}`);
  }

  drawTable() {
    if (!this.asTable.open || this.answer === null) return;
    const { time: times, min, max, avg, count: counts } = this.answer.points;
    this.rows.replaceChildren(...times.map((at, index) => h("tr", {},
      h("td", { class: "nowrap" }, exactTime(at)),
      ...[value(avg[index]), value(min[index]), value(max[index]), count(counts[index])].map((text) => h("td", { class: "number" }, text)))));
  }

  async download(range) {
    setText(this.status, "Downloading…");
    try {
      await downloadCsv(this.id, range, this.signal);
      setText(this.status, "The CSV file is complete.");
    } catch (error) {
      if (this.signal.aborted) return;
      this.wrong.hidden = false;
      setText(this.wrong, `No CSV file: ${error.message}`);
      this.say();
    }
  }
}

const toMs = (at) => (typeof at === "number" ? at : Date.parse(at));

function button(text, click, spanMs = null, label = null) {
  return { spanMs, element: h("button", { type: "button", class: "small", "aria-label": label, title: label, on: { click } }, text) };
}

function viewOf(query) {
  const [start, end] = [Date.parse(query.get("start") ?? ""), Date.parse(query.get("end") ?? "")];
  return start < end ? bounded({ start, end }) : null;
}
