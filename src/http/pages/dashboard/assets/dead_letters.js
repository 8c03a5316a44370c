// What could not be stored: why, what it was, and another try.

import { json, withQuery } from "./api.js";
import { dialog } from "./dialog.js";
import { announce, h, notice, pageHeading, setText } from "./dom.js";
import { bytes, count, time, visible } from "./format.js";
import { showLetter } from "./dead_letter.js";
import { PagedList } from "./paged_list.js";
import { onZone } from "./zone.js";

const HEADS = [
  ["Set aside"], ["Reason"], ["What is wrong", "optional"], ["Record", "optional"], ["Bytes", "number optional"], [""],
];
const REASONS = [
  "unknown_sensor", "time_out_of_window", "rejected_by_database", "malformed_json", "wrong_shape", "nul_byte", "empty_record",
  "invalid_timestamp", "invalid_value", "too_large",
];

export async function show(main, { query, signal }) {
  const letters = new Letters(query, signal);
  main.append(...letters.elements);
  onZone(() => letters.draw(), signal);
  await letters.list.load();
}

class Letters {
  constructor(query, signal) {
    this.signal = signal;
    this.filter = { reason: query.get("reason") ?? "", sensor_id: query.get("sensor_id") ?? "" };
    this.list = new PagedList({
      address: "dead-letters", label: "Dead letters", heads: HEADS, filter: this.filter, after: query.get("after"), signal,
      ask: (asked, until) => this.ask(asked, until), draw: () => this.draw(),
    });
    const reason = h("select", { on: { change: (event) => this.choose("reason", event.target.value) } },
      new Option("all", ""), REASONS.map((name) => new Option(name, name)));
    reason.value = this.filter.reason;
    const sensor = h("input", { type: "search", inputmode: "numeric", pattern: "-?[0-9]+", value: this.filter.sensor_id, on: { change: (event) => this.choose("sensor_id", event.target.value.trim()) } });
    this.elements = [
      pageHeading("Dead letters"),
      h("section", { class: "panel", "aria-label": "Dead letters" },
        h("form", { class: "row", role: "search", on: { submit: (event) => event.preventDefault() } },
          h("label", { class: "field" }, "Reason", reason), h("label", { class: "field" }, "Sensor", sensor),
          h("button", { type: "button", on: { click: () => this.all("replay") } }, "Replay all of these"),
          h("button", { type: "button", class: "danger", on: { click: () => this.all("discard") } }, "Discard all of these")),
        this.list.elements),
    ];
  }

  choose(name, text) {
    this.filter[name] = text;
    void this.list.loadFirst();
  }

  async ask(asked, signal) {
    const [page, summary] = await Promise.all([
      json(withQuery("dead-letters", asked), { signal }), json("dead-letters/summary", { signal }),
    ]);
    const waiting = summary.letters === 0 ? "None pending." : `${count(summary.letters)} pending, the oldest since ${time(Date.parse(summary.oldest))}.`;
    setText(this.list.summary, `${waiting} A replay stores those that can be stored by now; each is stored once.`);
    return page;
  }

  draw() {
    const empty = this.list.isFiltered ? "No dead letter matches." : "No dead letters: every reading was stored.";
    const letters = this.list.page?.letters ?? [];
    this.list.fill(letters.map((letter) => this.row(letter)), empty);
  }

  row(letter) {
    const { id, reason, detail, topic, partition, offset, item, replayable } = letter;
    const act = (verb) => () => this.one(verb, letter);
    return h("tr", {},
      h("td", { class: "nowrap" }, time(Date.parse(letter.received_at))),
      h("th", { scope: "row" }, reason),
      h("td", { class: "theirs optional" }, visible(detail)),
      h("td", { class: "theirs optional number" }, `${topic} ${partition}/${offset}${item === null ? "" : `, item ${item}`}`),
      h("td", { class: "number optional" }, bytes(letter.payload_bytes)),
      h("td", {}, h("div", { class: "group" },
        h("button", { type: "button", class: "small", "aria-label": `Show dead letter ${id}`, on: { click: () => showLetter(id, this.signal) } }, "Show"),
        h("button", { type: "button", class: "small", disabled: !replayable, title: replayable ? null : "The same bytes would be refused again", "aria-label": `Replay dead letter ${id}`, on: { click: act("replay") } }, "Replay"),
        h("button", { type: "button", class: "small danger", "aria-label": `Discard dead letter ${id}`, on: { click: act("discard") } }, "Discard"))));
  }

  async one(verb, { id, reason }) {
    try {
      if (verb === "discard") {
        const form = h("form", {}, h("p", {}, `Its reading was never stored (${reason}) and is then gone for good.`));
        const isGone = await dialog(`Discard dead letter ${id}?`, form, "Discard", "danger", () => json(`dead-letters/${id}`, { method: "DELETE", signal: this.signal }));
        if (isGone === null) return;
        await this.list.load();
        this.tell("good", `Dead letter ${id} is discarded.`);
      } else {
        const came = await json(`dead-letters/${id}/replay`, { method: "POST", signal: this.signal });
        await this.list.load();
        this.tell(came.refused > 0 ? "warn" : "good", cameOf(came));
      }
    } catch (error) {
      if (!this.signal.aborted) this.tell("error", error.message);
    }
  }

  /** All that the filter finds, a thousand at a time: the server says how to go on. */
  async all(verb) {
    const filter = {};
    if (this.filter.reason !== "") filter.reason = this.filter.reason;
    if (this.filter.sensor_id !== "") filter.sensor_id = Number(this.filter.sensor_id);
    const which = Object.entries(filter).map(([name, value]) => `${name} ${value}`).join(", ") || "all reasons and sensors";
    const words = verb === "discard" ? "Their readings were never stored and are then gone for good." : "Those that can be stored by now are; the others stay, with the reason of today.";
    const says = h("p", { role: "status" });
    const form = h("form", {}, h("p", {}, `Every dead letter of ${which}, on all pages. ${words}`), says);
    const name = verb === "discard" ? "Discard" : "Replay";
    const sum = await dialog(`${name} all of these?`, form, name, verb === "discard" ? "danger" : "primary", async () => {
      const total = { stored: 0, duplicates: 0, refused: 0, discarded: 0 };
      let after;
      do {
        const part = await json(`dead-letters/${verb}`, { method: "POST", send: { filter, after }, signal: this.signal });
        for (const figure of Object.keys(total)) total[figure] += part[figure] ?? 0;
        after = part.next ?? undefined;
        setText(says, verb === "discard" ? `${count(total.discarded)} discarded` : cameOf(total));
      } while (after !== undefined);
      return total;
    });
    if (sum === null) return;
    await this.list.loadFirst();
    this.tell(sum.refused > 0 ? "warn" : "good", verb === "discard" ? `${count(sum.discarded)} dead letters are discarded.` : cameOf(sum));
  }

  tell(kind, text) {
    this.list.state.prepend(notice(kind, text));
    announce(text);
  }
}

function cameOf({ stored, duplicates, refused, letters = [] }) {
  const why = letters.length === 1 ? ` (${letters[0].reason}: ${visible(letters[0].detail)})` : "";
  return `${count(stored)} stored, ${count(duplicates)} there already, ${count(refused)} still refused${why}.`;
}
