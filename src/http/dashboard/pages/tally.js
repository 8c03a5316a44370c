// What the log holds, and what became of it.

import { h, setText } from "./dom.js";
import { NONE, count, span } from "./format.js";

export function tally() {
  const figures = {};
  const part = (name, label, sign = null) => {
    figures[name] = h("dd", {}, NONE);
    return h("div", { data: sign === null ? {} : { sign } }, h("dt", {}, label), figures[name]);
  };
  const audited = h("p", { class: "notice", id: "audited" });
  const says = h("p", { class: "muted" });
  const element = h("div", { class: "lines" },
    h("dl", { class: "tally", "aria-label": "Records" },
      part("in_log", "records in the log"), part("read", "read to the end", "="), part("in_flight_records", "in flight", "+")),
    h("dl", { class: "tally", "aria-label": "Readings" },
      part("accounted", "their readings so far"), part("stored", "stored", "="), part("duplicates", "duplicates", "+"),
      part("dead_lettered", "dead-lettered", "+"), part("difference", "difference")),
    audited, says);

  const show = ({ tally: now }) => {
    const { in_log: inLog, in_flight_records: inFlight, stored, duplicates, dead_lettered: deadLettered, difference } = now;
    for (const name of ["in_log", "in_flight_records", "stored", "duplicates", "dead_lettered"]) setText(figures[name], count(now[name]));
    setText(figures.read, count(inLog === null || inFlight === null ? null : inLog - inFlight));
    setText(figures.accounted, count([stored, duplicates, deadLettered].includes(null) ? null : stored + duplicates + deadLettered));
    setText(figures.difference, difference === null ? "not known" : count(difference));
    // An api of the version before says nothing of it.
    const audit = now.audit ?? null;
    audited.classList.toggle("warn", audit !== null && audit.outcome !== "clean");
    setCoded(audited, lastAudit(audit));
    setCoded(says, now.explanation);
  };
  return { element, show };
}

/** What the difference is worth: who looked, when, and at what. */
function lastAudit(audit) {
  if (audit === null) return "Not audited yet: run `sensorpipe audit`.";
  const { age_seconds: age, outcome, kinds, readings, rows_counted: rowsCounted } = audit;
  const when = `audited ${span(Math.floor(age))} ago`;
  if (outcome === "clean") {
    const rows = rowsCounted ? "" : " The rows of the table were not counted.";
    return `Clean, ${when}: each of the ${count(readings)} readings that the log had is accounted for.${rows}`;
  }
  const what = outcome === "undetermined" ? "not every partition could be audited" : "the log, the counts and the tables differ";
  return `Warning, ${when}: ${what} (${kinds.join(", ")}). \`sensorpipe audit\` says more.`;
}

/** What stands between backticks is what one types. */
function setCoded(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...text.split("`").map((piece, index) => (index % 2 === 1 ? h("code", {}, piece) : piece)));
}
