// What the log holds, and what became of it.

import { h, setText } from "./dom.js";
import { NONE, clock, count, date, span, time } from "./format.js";

/** An audit that is older than this proves nothing of what was stored since. */
const OVERDUE_S = 7_200;

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

  const show = ({ at, tally: now }) => {
    const { in_log: inLog, in_flight_records: inFlight, stored, duplicates, dead_lettered: deadLettered, difference } = now;
    for (const name of ["in_log", "in_flight_records", "stored", "duplicates", "dead_lettered"]) setText(figures[name], count(now[name]));
    setText(figures.read, count(inLog === null || inFlight === null ? null : inLog - inFlight));
    setText(figures.accounted, count([stored, duplicates, deadLettered].includes(null) ? null : stored + duplicates + deadLettered));
    setText(figures.difference, difference === null ? "not known" : count(difference));
    // An api of the version before says nothing of it.
    const audit = now.audit ?? null;
    audited.classList.toggle("warn", audit !== null && (audit.outcome !== "clean" || audit.age_seconds > OVERDUE_S));
    setCoded(audited, lastAudit(audit, at));
    setCoded(says, now.explanation);
  };
  return { element, show };
}

/** Up to when everything is proved, or what is not. */
function lastAudit(audit, at) {
  if (audit === null) return "Not audited yet: the first audit is not finished, or none runs (`sensorpipe audit --watch`).";
  const { age_seconds: age, outcome, kinds, readings, up_to: upTo, partitions = [] } = audit;
  const ago = `audited ${span(Math.floor(age))} ago`;
  const moment = date(upTo) === date(at) ? clock(upTo) : time(upTo);
  const where = partitions.length === 0 ? "the table" : `partition${partitions.length > 1 ? "s" : ""} ${partitions.join(", ")}`;
  if (outcome === "clean") {
    const overdue = age > OVERDUE_S ? " No audit has finished since: is one running?" : "";
    return `All readings stored up to ${moment} are accounted for (${ago}, ${count(readings)} readings).${overdue}`;
  }
  if (outcome === "undetermined") {
    return `Not audited: ${where} (${kinds.join(", ")}; ${ago}). All other readings stored up to ${moment} are accounted for.`;
  }
  return `Difference found in ${where} (${kinds.join(", ")}; ${ago}). \`sensorpipe audit\` names the readings.`;
}

/** What stands between backticks is what one types. */
function setCoded(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...text.split("`").map((piece, index) => (index % 2 === 1 ? h("code", {}, piece) : piece)));
}
