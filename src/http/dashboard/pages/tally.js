// What the log holds, and what became of it.

import { h, setText } from "./dom.js";
import { NONE, count } from "./format.js";

export function tally() {
  const figures = {};
  const part = (name, label, sign = null) => {
    figures[name] = h("dd", {}, NONE);
    return h("div", { data: sign === null ? {} : { sign } }, h("dt", {}, label), figures[name]);
  };
  const says = h("p", { class: "muted" });
  const element = h("div", { class: "lines" },
    h("dl", { class: "tally", "aria-label": "Records" },
      part("in_log", "records in the log"), part("read", "read to the end", "="), part("in_flight_records", "in flight", "+"),
      part("difference", "difference")),
    h("dl", { class: "tally", "aria-label": "Readings" },
      part("accounted", "their readings so far"), part("stored", "stored", "="), part("duplicates", "duplicates", "+"),
      part("dead_lettered", "dead-lettered", "+")),
    says);

  const show = ({ tally: now }) => {
    const { in_log: inLog, in_flight_records: inFlight, stored, duplicates, dead_lettered: deadLettered, difference } = now;
    for (const name of ["in_log", "in_flight_records", "stored", "duplicates", "dead_lettered"]) setText(figures[name], count(now[name]));
    setText(figures.read, count(inLog === null || inFlight === null ? null : inLog - inFlight));
    setText(figures.accounted, count([stored, duplicates, deadLettered].includes(null) ? null : stored + duplicates + deadLettered));
    setText(figures.difference, difference === null ? "not counted here" : count(difference));
    if (says.dataset.text !== now.explanation) {
      says.dataset.text = now.explanation;
      says.replaceChildren(...withCode(now.explanation));
    }
  };
  return { element, show };
}

/** What stands between backticks is what one types. */
function withCode(text) {
  return text.split("`").map((piece, index) => (index % 2 === 1 ? h("code", {}, piece) : piece));
}
