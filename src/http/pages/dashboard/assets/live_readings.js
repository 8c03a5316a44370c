// New readings of a sensor as they are stored.

import { h, setText, table } from "./dom.js";
import { follow } from "./events.js";
import { exactTime, span, value } from "./format.js";
import { onZone } from "./zone.js";

const KEPT = 30;
const SILENCE_MS = 45_000;

export class LiveReadings {
  /** `onReadings(readings)` for each that came, oldest first. */
  constructor(id, { signal, onReadings }) {
    this.id = id;
    this.signal = signal;
    this.onReadings = onReadings;
    this.following = null;
    this.readings = [];
    this.rows = h("tbody");
    this.button = h("button", { type: "button", "aria-pressed": "false", on: { click: () => this.toggle() } }, "Follow live");
    this.status = h("p", { class: "muted", role: "status" }, "Shows new readings as they are stored.");
    this.table = table("New readings", [["Time"], ["Value", "number"]], this.rows);
    this.table.hidden = true;
    this.element = h("section", { class: "panel", "aria-labelledby": "live" },
      h("div", { class: "row apart" }, h("h2", { id: "live" }, "Live"), this.button), this.status, this.table);
    onZone(() => this.draw(), signal);
  }

  toggle() {
    const isOn = this.following !== null;
    this.button.setAttribute("aria-pressed", String(!isOn));
    if (isOn) {
      this.following.abort();
      this.following = null;
      setText(this.status, "No longer following.");
      return;
    }
    this.following = new AbortController();
    setText(this.status, "Connecting…");
    void follow(`sensors/${this.id}/readings/events`, {
      silenceMs: SILENCE_MS,
      onState: (state) => this.said(state),
      onEvent: ({ event, data }) => {
        if (event === "readings") this.take(JSON.parse(data).data);
      },
    }, AbortSignal.any([this.signal, this.following.signal]));
  }

  said({ isOpen, error, retryInMs }) {
    if (isOpen) setText(this.status, "Followed live.");
    else if (retryInMs === null) setText(this.status, error.message);
    else setText(this.status, `${error?.message ?? "The connection broke off."} Trying again in ${span(retryInMs / 1000)}.`);
  }

  take(readings) {
    if (readings.length === 0) return;
    const fresh = readings.map((reading) => ({ value: reading.value, at: Date.parse(reading.timestamp) }));
    this.readings = [...fresh.toReversed(), ...this.readings].slice(0, KEPT);
    this.draw();
    this.onReadings(fresh);
  }

  draw() {
    this.table.hidden = this.readings.length === 0;
    this.rows.replaceChildren(...this.readings.map(({ at, value: measured }) => h("tr", {},
      h("td", { class: "nowrap" }, exactTime(at)), h("td", { class: "number" }, value(measured)))));
  }
}
