// What the log holds, and what became of it.

import { h, setText } from "./dom.js";
import { NONE, count } from "./format.js";

const PARTS = [
  ["stored", "stored"],
  ["duplicates", "duplicates"],
  ["dead_lettered", "dead-lettered"],
];

export function tally() {
  const figures = {};
  const part = (name, label) => {
    figures[name] = h("dd", {}, NONE);
    return h("div", {}, h("dt", {}, label), figures[name]);
  };
  const sign = (text) => h("div", { class: "sign", "aria-hidden": "true" }, text);
  const says = h("p", { class: "muted" });
  const element = h("div", { class: "halves" },
    h("dl", { class: "tally" },
      part("accounted", "readings accounted for"), sign("="),
      PARTS.flatMap(([name, label], index) => (index === 0 ? [part(name, label)] : [sign("+"), part(name, label)]))),
    h("dl", { class: "tally" },
      part("in_log", "records in the log"),
      part("in_flight_records", "of them in flight"),
      part("difference", "difference")),
    says);

  const show = ({ tally: now }) => {
    const parts = PARTS.map(([name]) => now[name] ?? null);
    for (const [name] of PARTS) setText(figures[name], count(now[name]));
    setText(figures.accounted, parts.includes(null) ? NONE : count(parts.reduce((sum, some) => sum + some, 0)));
    setText(figures.in_log, count(now.in_log));
    setText(figures.in_flight_records, count(now.in_flight_records));
    setText(figures.difference, count(now.difference));
    setText(says, now.explanation ?? explain(now));
  };
  return { element, show };
}

function explain({ difference, in_flight_records: inFlight }) {
  if (difference === 0) return "Every reading in the log up to the stored offsets is accounted for.";
  if (typeof difference === "number") return "Readings are not accounted for: run `sensorpipe audit`, which names each.";
  const flight = inFlight === 0 ? "Nothing is in flight." : "What is in flight is read next.";
  return `${flight} Records hold any number of readings: \`sensorpipe audit\` counts them one by one.`;
}
