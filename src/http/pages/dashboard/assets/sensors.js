// Sensors, a page of them at a time however many there are.

import { addressOf } from "./address.js";
import { json, withQuery } from "./api.js";
import { announce, h, notice, pageHeading, setText } from "./dom.js";
import { NONE, time, value } from "./format.js";
import { PagedList } from "./paged_list.js";
import { createSensor, deleteSensor, editSensor } from "./sensor_form.js";
import { sparkline } from "./sparkline.js";
import { onZone } from "./zone.js";

const TYPING_MS = 250;
const HEADS = [
  ["Id", "number"], ["Type"], ["Location"], ["Description", "optional"], ["Last value", "number"], ["At", "optional"],
  ["Last 30 hours", "optional"], [""],
];

export async function show(main, { query, signal }) {
  const sensors = new Sensors(query, signal);
  main.append(...sensors.elements);
  onZone(() => sensors.drawLatest(), signal);
  await sensors.list.load();
}

class Sensors {
  constructor(query, signal) {
    this.filter = { q: query.get("q") ?? "", type: query.get("type") ?? "", location: query.get("location") ?? "" };
    this.rows = new Map();
    this.list = new PagedList({
      address: "sensors", label: "Sensors", heads: HEADS, filter: this.filter, after: query.get("after"), signal,
      ask: (asked, until) => this.ask(asked, until), draw: (page, until) => this.draw(page, until),
    });
    const field = (name, label, grows) => h("label", { class: `field ${grows}` }, label, h("input", {
      type: "search", value: this.filter[name], autocomplete: "off", maxlength: name === "type" ? "50" : "255",
      on: { input: (event) => this.typed(name, event.target.value) },
    }));
    this.elements = [
      h("div", { class: "row apart" }, pageHeading("Sensors"),
        h("button", { type: "button", class: "primary", on: { click: () => this.create() } }, "New sensor")),
      h("section", { class: "panel", "aria-label": "Sensors" },
        h("form", { class: "row", role: "search", on: { submit: (event) => event.preventDefault() } },
          field("q", "Search in type, description and location", "grow"),
          field("type", "Type, exactly", ""), field("location", "Location, exactly", "")),
        this.list.elements),
    ];
  }

  typed(name, text) {
    this.filter[name] = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.list.loadFirst(), TYPING_MS);
  }

  async ask(asked, signal) {
    setText(this.list.summary, "Loading…");
    return json(withQuery("sensors", asked), { signal });
  }

  async draw({ sensors, next }, signal) {
    const { isFirst, isFiltered, summary } = this.list;
    this.rows.clear();
    const elsewhere = isFiltered ? "No sensor matches." : "There are no further sensors.";
    this.list.fill(sensors.map((sensor) => this.row(sensor)), isFirst && !isFiltered
      ? "There are no sensors yet. Make one, then send it a reading." : elsewhere);
    const said = `${sensors.length} ${sensors.length === 1 ? "sensor" : "sensors"}${isFirst && next === null ? "" : " on this page"}${isFiltered ? " that match" : ""}`;
    setText(summary, sensors.length === 0 ? "" : said);
    announce(said);
    await this.loadReadings(sensors, signal);
  }

  row(sensor) {
    const id = sensor.sensor_id;
    const spark = sparkline();
    const row = {
      sensor, spark, latest: null,
      value: h("td", { class: "number" }, "…"), at: h("td", { class: "nowrap optional" }, "…"),
      trend: h("td", { class: "optional" }, spark.element),
    };
    this.rows.set(id, row);
    const name = `sensor ${id}`;
    return h("tr", {},
      h("td", { class: "number" }, String(id)),
      h("th", { scope: "row" }, h("a", { href: addressOf(`sensors/${id}`), class: "theirs" }, sensor.sensor_type)),
      h("td", { class: "theirs" }, sensor.location ?? NONE),
      h("td", { class: "theirs optional" }, sensor.description ?? NONE),
      row.value, row.at, row.trend,
      h("td", {}, h("div", { class: "group" },
        h("button", { type: "button", class: "small", "aria-label": `Edit ${name}`, on: { click: () => this.edit(sensor) } }, "Edit"),
        h("button", { type: "button", class: "small danger", "aria-label": `Delete ${name}`, on: { click: () => this.delete(sensor) } }, "Delete"))));
  }

  /** Last values and lines of all sensors on the page, in a request each. */
  async loadReadings(sensors, signal) {
    if (sensors.length === 0) return;
    const ids = sensors.map(({ sensor_id: id }) => id).join(",");
    const [latest, trends] = await Promise.allSettled([
      json(withQuery("sensors/latest", { ids }), { signal }),
      json(withQuery("sensors/stats", { ids, bucket: "1h", measures: "avg", fill: "null" }), { signal }),
    ]);
    if (signal.aborted) return;
    for (const reading of latest.value?.latest ?? []) this.rows.get(reading.sensor_id).latest = reading;
    this.drawLatest(latest.status === "rejected" ? "?" : NONE);
    for (const { sensor_id: id, buckets } of trends.value?.series ?? []) this.drawTrend(this.rows.get(id), buckets);
    const failed = [latest, trends].find(({ status }) => status === "rejected");
    if (failed) this.list.state.replaceChildren(notice("warn", `Some figures are missing: ${failed.reason.message}`));
  }

  drawLatest(none = NONE) {
    for (const { latest, value: valueCell, at } of this.rows.values()) {
      setText(valueCell, latest ? value(latest.value) : none);
      setText(at, latest ? time(Date.parse(latest.timestamp)) : none);
    }
  }

  drawTrend({ spark, trend }, buckets) {
    const values = buckets.map(({ avg }) => avg);
    const known = values.filter((average) => average !== null);
    if (known.length === 0) {
      trend.replaceChildren("no readings");
      return;
    }
    spark.show(values);
    const text = `hourly averages from ${value(Math.min(...known))} to ${value(Math.max(...known))}`;
    trend.replaceChildren(spark.element, h("span", { class: "unseen" }, text));
  }

  async create() {
    const id = await createSensor();
    if (id !== null) location.hash = addressOf(`sensors/${id}`);
  }

  async edit(sensor) {
    if (await editSensor(sensor)) await this.list.load();
  }

  async delete(sensor) {
    if (await deleteSensor(sensor)) await this.list.load();
  }
}
