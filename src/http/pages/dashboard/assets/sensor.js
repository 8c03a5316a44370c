// One sensor: what it is, its readings, its days, and sending it more.

import { addressOf } from "./address.js";
import { json } from "./api.js";
import { announce, h, notice, pageHeading, setText } from "./dom.js";
import { DailyAverages, DayBand } from "./days.js";
import { time, value } from "./format.js";
import { ReadingsChart } from "./readings_chart.js";
import { sendMany, sendOne } from "./send.js";
import { deleteSensor, editSensor } from "./sensor_form.js";
import { LiveReadings } from "./live_readings.js";
import { onZone } from "./zone.js";

const REDRAW_MS = 1_000;

export async function show(main, { argument, query, signal }) {
  const id = Number(argument);
  main.append(notice("busy", "Loading…"));
  let sensor;
  try {
    sensor = await json(`sensors/${id}`, { signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    main.replaceChildren(pageHeading(`Sensor ${id}`), notice("empty", "There is no such sensor.", h("a", { href: "#/sensors" }, "To the sensors")));
    return;
  }
  const latest = new Latest(id, signal);
  const context = { query, signal, latestMs: () => latest.at };
  const chart = new ReadingsChart(id, context);
  const days = new DayBand(id, context);
  const averages = new DailyAverages(id, context);
  const refresh = async () => {
    await latest.load();
    await Promise.all([chart.follow(latest.at ?? Date.now()), days.load(), averages.load()]);
  };
  // Readings may come by the thousand; the chart is drawn once in a while.
  let waiting = null;
  const onReadings = (readings) => {
    latest.take(readings.at(-1));
    waiting ??= setTimeout(() => {
      waiting = null;
      if (!signal.aborted) void chart.follow(latest.at);
    }, REDRAW_MS);
  };
  const heading = pageHeading();
  const about = h("p", { class: "muted theirs" });
  const describe = () => {
    heading.replaceChildren(h("span", { class: "theirs" }, sensor.sensor_type));
    setText(about, [`Sensor ${id}`, sensor.location, sensor.description].filter(Boolean).join(" · "));
  };
  describe();
  const edit = async () => {
    sensor = (await editSensor(sensor)) ?? sensor;
    describe();
  };
  const remove = async () => {
    if (await deleteSensor(sensor)) location.hash = addressOf("sensors");
  };
  main.replaceChildren(
    h("div", { class: "row apart" },
      h("div", {}, heading, about), latest.element,
      h("div", { class: "group" },
        h("button", { type: "button", on: { click: edit } }, "Edit"),
        h("button", { type: "button", class: "danger", on: { click: remove } }, "Delete"))),
    chart.element,
    h("div", { class: "halves" }, sendOne(id, { signal, onStored: refresh }), new LiveReadings(id, { signal, onReadings }).element),
    days.element, averages.element,
    sendMany(id, { signal, onStored: refresh }),
  );
  await latest.load();
  // The chart is what people came for; the rest says by itself what goes wrong with it.
  void Promise.all([chart.start(), days.start(), averages.load()]).then(() => {
    if (!signal.aborted) announce("The readings are loaded.");
  });
}

/** The latest reading, in large figures. */
class Latest {
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.at = null;
    this.value = null;
    this.large = h("div", { class: "latest" });
    this.under = h("div", { class: "muted number" });
    this.element = h("div", {}, this.large, this.under);
    onZone(() => this.draw(), signal);
  }

  async load() {
    try {
      const latest = await json(`sensors/${this.id}/latest`, { signal: this.signal });
      this.take({ at: Date.parse(latest.timestamp), value: latest.value });
    } catch (error) {
      if (this.signal.aborted) throw error;
      setText(this.under, error.status === 404 ? "no readings yet" : error.message);
    }
  }

  take({ at, value: measured }) {
    if (this.at !== null && at < this.at) return;
    [this.at, this.value] = [at, measured];
    this.draw();
  }

  draw() {
    if (this.at === null) return;
    setText(this.large, value(this.value));
    setText(this.under, `at ${time(this.at)}`);
  }
}
