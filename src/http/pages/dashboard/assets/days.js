// A sensor's days: the band of their quartiles, and the table of the figures that are kept.

import { json, withQuery } from "./api.js";
import { h, notice, setText, table } from "./dom.js";
import { count, value } from "./format.js";
import { Plot, colour } from "./plot.js";
import { dateFrom, onZone, zone } from "./zone.js";

const LENGTHS = [["30 days", 30], ["90 days", 90], ["1 year", 365]];
const MEASURES = ["min", "p25", "median", "p75", "max", "avg", "count"];

export class DayBand {
  constructor(id, { latestMs, signal }) {
    this.id = id;
    this.latestMs = latestMs;
    this.signal = signal;
    this.loading = new AbortController();
    this.days = LENGTHS[0][1];
    this.place = h("div", { class: "chart is-short", role: "img", "aria-label": "Band of each day: minimum, quartiles, median, average, maximum" });
    this.status = h("p", { class: "chart-says", role: "status" });
    this.buttons = LENGTHS.map(([name, days]) => h("button", {
      type: "button", class: "small", "aria-pressed": String(days === this.days), on: { click: () => this.choose(days) },
    }, name));
    this.rows = h("tbody");
    this.element = h("section", { class: "panel", "aria-labelledby": "days" },
      h("div", { class: "row apart" }, h("h2", { id: "days" }, "Day by day"),
        h("div", { class: "group", role: "group", "aria-label": "Days" }, this.buttons)),
      this.place, this.status,
      h("p", { class: "muted" }, h("span", { class: "key line" }), "median ", h("span", { class: "key dash" }), "average ",
        h("span", { class: "key" }), "quartiles, and lighter minimum to maximum"),
      h("details", {}, h("summary", {}, "The same as a table"), table("Days",
        [["Day"], ["Minimum", "number"], ["25%", "number"], ["Median", "number"], ["75%", "number"], ["Maximum", "number"], ["Average", "number"], ["Readings", "number"]],
        this.rows)));
  }

  async start() {
    this.plot = new Plot(this.place, {
      describe: () => {
        const [line, envelope] = [colour("--accent"), colour("--envelope")];
        const edge = { stroke: "transparent", width: 0, points: { show: false } };
        const dots = { size: 4, stroke: line, fill: line };
        return {
          series: [edge, edge, { stroke: line, width: 1.5, points: dots }, edge, edge,
            { stroke: colour("--warn"), width: 1.5, dash: [5, 4], points: { show: false } }],
          bands: [{ series: [5, 1], fill: envelope }, { series: [4, 2], fill: envelope }],
        };
      },
      options: { cursor: { show: false } },
    }, this.signal);
    onZone(() => this.load(), this.signal);
    await this.load();
  }

  choose(days) {
    this.days = days;
    this.buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(LENGTHS[index][1] === days)));
    return this.load();
  }

  async load() {
    this.loading.abort();
    this.loading = new AbortController();
    const signal = AbortSignal.any([this.signal, this.loading.signal]);
    const latest = this.latestMs();
    if (latest === null) {
      setText(this.status, "No readings yet.");
      return;
    }
    setText(this.status, "Working it out…");
    try {
      const { buckets } = await json(withQuery(`sensors/${this.id}/stats`, {
        bucket: "1d", timezone: zone(), measures: MEASURES.join(","),
        // Dates, which are midnights by the zone's clock: of a day that is cut, a part would be shown for the whole.
        start: dateFrom(latest, 1 - this.days), end: dateFrom(latest, 1),
      }), { signal });
      const days = buckets.map((bucket) => ({ at: Date.parse(bucket.start), ...bucket }));
      this.plot.show([days.map(({ at }) => at), ...MEASURES.slice(0, 6).map((name) => days.map((day) => day[name]))]);
      setText(this.status, `${count(days.length)} days with readings, by the clock of ${zone()}`);
      this.rows.replaceChildren(...days.toReversed().map((day) => h("tr", {}, h("th", { scope: "row" }, day.start.slice(0, 10)),
        ...MEASURES.map((name) => h("td", { class: "number" }, (name === "count" ? count : value)(day[name]))))));
    } catch (error) {
      if (!signal.aborted) setText(this.status, error.message);
    }
  }
}

/** What `/daily_avg` answers: the newest days that have readings. */
export class DailyAverages {
  constructor(id, { signal }) {
    this.id = id;
    this.signal = signal;
    this.rows = h("tbody");
    this.state = h("div");
    this.table = table("Daily averages", [
      ["Day (UTC)"], ["Readings", "number"], ["Average", "number"], ["Median", "number"], ["Minimum", "number"], ["Maximum", "number"], ["IQR", "number"],
    ], this.rows);
    this.element = h("section", { class: "panel", "aria-labelledby": "averages" },
      h("h2", { id: "averages" }, "The newest seven days"), this.state, this.table);
  }

  async load() {
    try {
      const days = await json(`daily_avg/${this.id}`, { signal: this.signal });
      this.state.replaceChildren();
      this.rows.replaceChildren(...days.map((day) => h("tr", {}, h("th", { scope: "row" }, day.day),
        h("td", { class: "number" }, count(day.reading_count)),
        ...["avg_value", "median_value", "min_value", "max_value", "iqr_value"].map((name) => h("td", { class: "number" }, value(day[name]))))));
    } catch (error) {
      if (this.signal.aborted) return;
      this.rows.replaceChildren();
      this.state.replaceChildren(notice(error.status === 404 ? "empty" : "error", error.message));
    }
    this.table.hidden = this.rows.rows.length === 0;
  }
}
