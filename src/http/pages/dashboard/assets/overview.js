// What comes in, what is stored, what waits, and that it adds up; told by the api once a second.

import { announce, h, pageHeading, setText, table } from "./dom.js";
import { follow } from "./events.js";
import { NONE, clock, count, rate, span, time } from "./format.js";
import { sparkline } from "./sparkline.js";
import { tally } from "./tally.js";
import { onZone } from "./zone.js";

const STALE_AFTER_MS = 4_000;
const SILENCE_MS = 15_000;
/** Five minutes of a line, a second a step. */
const REMEMBERED = 300;

export async function show(main, { signal }) {
  const page = new Page();
  main.append(...page.elements);
  const redraw = () => page.draw();
  onZone(redraw, signal);
  const timer = setInterval(() => page.drawAge(), 1_000);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  // Runs on while the page is shown; what goes wrong with it is said on the page.
  void follow("overview/events", {
    silenceMs: SILENCE_MS,
    onState: (state) => page.connection(state),
    onEvent: ({ event, data }) => {
      if (event === "overview") page.take(JSON.parse(data));
    },
  }, signal);
}

class Page {
  constructor() {
    this.overview = null;
    this.takenAt = null;
    this.state = { isOpen: false, error: null, retryInMs: 0 };
    this.wasStale = false;
    this.histories = { http: [], kafka: [], stored: [] };
    this.age = h("p", { class: "muted number", id: "age" }, "Waiting for the first figures…");
    this.banner = h("div", { class: "notice warn", id: "stale", hidden: true });
    this.warnings = h("div", { class: "notice warn", role: "status", hidden: true });
    this.servers = h("div", { class: "row" });
    this.pills = { kafka: pill(), postgres: pill() };
    this.servers.append(this.pills.kafka, this.pills.postgres);
    this.tiles = {
      http: tile("In over HTTP", "readings/s accepted by this api", true),
      kafka: tile("In through Kafka", "records/s appended to the topic", true),
      stored: tile("Stored", "readings/s", true),
      freshness: tile("Freshness", "since the last reading was stored"),
      lag: tile("Lag", ""),
      duplicates: tile("Duplicates", "readings that were there already"),
      letters: tile("Dead letters", "pending"),
    };
    this.tally = tally();
    this.reasons = h("ul", { class: "plain" });
    this.lag = h("tbody");
    this.workers = h("tbody");
    this.about = h("p", { class: "muted" });
    this.body = h(
      "div", { class: "overview", hidden: true },
      h("dl", { class: "tiles wide" }, ["http", "kafka", "stored"].map((name) => this.tiles[name].element)),
      h("dl", { class: "tiles" }, ["freshness", "lag", "duplicates", "letters"].map((name) => this.tiles[name].element)),
      h("section", { class: "panel", "aria-labelledby": "tally" },
        h("h2", { id: "tally" }, "Nothing is lost"), this.tally.element),
      h("div", { class: "halves" },
        h("section", { class: "panel", "aria-labelledby": "lag" },
          h("h2", { id: "lag" }, "Lag by partition"),
          table("Lag by partition", [
            ["Partition", "number"], ["Behind", "number"], ["Records", "number"], ["Stored last", "optional"], ["Worker"],
          ], this.lag)),
        h("div", { class: "halves" },
          h("section", { class: "panel", "aria-labelledby": "workers" },
            h("h2", { id: "workers" }, "Workers"),
            table("Workers", [["Consumer"], ["Host", "optional"], ["Partitions"]], this.workers)),
          h("section", { class: "panel", "aria-labelledby": "reasons" },
            h("div", { class: "row apart" },
              h("h2", { id: "reasons" }, "Dead letters by reason"), h("a", { href: "#/dead-letters" }, "Review dead letters")),
            this.reasons))),
      this.about,
    );
    this.elements = [
      h("div", { class: "row apart" }, pageHeading("Overview"), this.servers),
      this.age, this.banner, this.warnings, this.body,
    ];
  }

  connection(state) {
    this.state = state;
    this.drawAge();
  }

  take(overview) {
    this.overview = overview;
    this.takenAt = performance.now();
    for (const [name, history] of Object.entries(this.histories)) {
      history.push(overview.rates[name] ?? null);
      if (history.length > REMEMBERED) history.shift();
    }
    this.draw();
  }

  /** How old what is shown is, by this browser's own clock: the api's may be wrong, or the api away. */
  drawAge() {
    const ageMs = this.takenAt === null ? null : performance.now() - this.takenAt;
    const isStale = ageMs !== null && ageMs > STALE_AFTER_MS;
    const { error, retryInMs, isOpen } = this.state;
    if (ageMs !== null) {
      setText(this.age, `As of ${clock(this.overview.at)}${isStale ? "" : ", live"}`);
    }
    const why = error?.message ?? (isOpen ? "The api sends no updates." : "The connection broke off.");
    const again = retryInMs === null ? "" : " It is tried again until it answers.";
    const isWaiting = ageMs === null && (error !== null || (!isOpen && retryInMs !== 0));
    this.banner.hidden = !(isStale || isWaiting);
    const since = isStale ? ` What you see is ${span(Math.floor(ageMs / 1000))} old.` : "";
    setText(this.banner, this.banner.hidden ? "" : `${why}${since}${again}`);
    this.body.classList.toggle("is-stale", isStale);
    if (isStale !== this.wasStale) {
      announce(isStale ? "The figures are stale: the api does not answer." : "The figures are live again.");
      this.wasStale = isStale;
    }
  }

  draw() {
    const { overview, tiles } = this;
    if (overview === null) return;
    this.body.hidden = false;
    this.drawAge();
    drawPill(this.pills.kafka, "Kafka", overview.kafka);
    drawPill(this.pills.postgres, "Postgres", overview.postgres);
    for (const name of ["http", "kafka", "stored"]) {
      tiles[name].set(rate(overview.rates[name]));
      tiles[name].spark.show(this.histories[name], REMEMBERED);
    }
    tiles.freshness.set(span(overview.freshness_seconds));
    const behind = Math.max(...overview.lag.map(({ seconds }) => seconds ?? 0), 0);
    const records = overview.lag.reduce((sum, partition) => sum + (partition.records ?? 0), 0);
    tiles.lag.set(span(behind), `behind, the slowest partition; ${count(records)} records in all`);
    tiles.duplicates.set(count(overview.duplicates));
    const notKept = overview.dead_letters.not_kept ?? 0;
    tiles.letters.set(
      count(overview.dead_letters.waiting),
      notKept > 0 ? `pending; ${count(notKept)} more are not kept` : "pending",
    );
    this.tally.show(overview);
    this.drawWarnings(overview);
    this.drawReasons(overview.dead_letters.by_reason);
    this.drawLag(overview.lag, overview.workers !== null);
    this.drawWorkers(overview.workers);
    setText(this.about, `Topic ${overview.topic}, group ${overview.group}, sensorpipe ${overview.version}`);
  }

  /** What an operator should change: nothing of it passes by itself. */
  drawWarnings({ database_id: ours, other_databases: others, unsafe_settings: unsafe, group }) {
    const texts = others.filter((other) => other.is_active).map(({ database_id: id }) =>
      `Another database (${id}) uses consumer group ${group}; this one is ${ours}. Set another KAFKA_GROUP for one of them.`);
    texts.push(...unsafe.map(({ setting, value, loses, cure }) => `${setting} is ${value}: ${loses}; ${cure}.`));
    this.warnings.hidden = texts.length === 0;
    setText(this.warnings, texts.join(" "));
  }

  drawReasons(byReason) {
    const reasons = Object.entries(byReason).filter(([, waiting]) => waiting > 0);
    const lines = reasons.map(([reason, waiting]) => `${reason}: ${count(waiting)}`);
    if (this.reasons.dataset.shown === lines.join()) return;
    this.reasons.dataset.shown = lines.join();
    this.reasons.replaceChildren(...(lines.length > 0 ? lines : ["None pending."]).map((line) => h("li", {}, line)));
  }

  drawLag(lag, areKnown) {
    fill(this.lag, lag, ({ partition, seconds, records, stored_at: storedAt, owner, stalled }) => [
      ["number", String(partition)],
      ["number", span(seconds)],
      ["number", count(records)],
      ["nowrap optional", time(storedAt)],
      ["theirs", stalled ? `stalled: ${stalled.reason}` : owner ? shortened(owner) : areKnown ? "nobody" : "not known"],
    ], ["number", "number", "number", "", ""], "The topic has no partitions that are known yet.");
  }

  drawWorkers(workers) {
    const none = workers
      ? "No worker is in the group: what comes in waits in Kafka until one is."
      : "Not known: Kafka has not said who is in the group. It never says that of a group with group.protocol=consumer.";
    fill(this.workers, workers ?? [], ({ member_id: member, host, partitions }) => [
      ["theirs", shortened(member)],
      ["theirs optional", host],
      ["", partitions.length > 0 ? inRuns(partitions) : "none"],
    ], ["", "", ""], none);
  }
}

/** 0–3, 5: what follows each other in one. */
function inRuns(numbers) {
  const runs = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    if (runs.length > 0 && runs.at(-1)[1] === number - 1) runs.at(-1)[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

/** The start of a member's id tells it from the others. */
const shortened = (member) => member.replace(/([0-9a-f]{8})-[0-9a-f-]{20,}$/, "$1");

/** Rows that stay where they are: only texts that change are touched. */
function fill(body, items, cellsOf, classes, empty) {
  if (items.length === 0) {
    if (body.dataset.empty !== "yes") body.replaceChildren(h("tr", {}, h("td", { colspan: String(classes.length) }, empty)));
    body.dataset.empty = "yes";
    return;
  }
  if (body.dataset.empty === "yes") body.replaceChildren();
  body.dataset.empty = "no";
  while (body.rows.length > items.length) body.lastChild.remove();
  items.forEach((item, index) => {
    const cells = cellsOf(item);
    const row = body.rows[index] ?? body.appendChild(h("tr", {}, cells.map(([name]) => h("td", { class: name }))));
    cells.forEach(([, text], cell) => setText(row.cells[cell], text));
  });
}

function tile(name, under, hasSpark = false) {
  const large = h("dd", { class: "large" }, NONE);
  const below = h("dd", { class: "under" }, under);
  const spark = hasSpark ? sparkline(0) : null;
  const element = h("div", { class: "tile" }, h("dt", {}, name), large, below, spark ? h("dd", {}, spark.element) : null);
  const set = (text, more) => {
    setText(large, text);
    if (more !== undefined) setText(below, more);
  };
  return { element, set, spark };
}

function pill() {
  return h("span", { class: "pill", role: "status" }, "…");
}

function drawPill(element, name, { up, since, reason }) {
  setText(element, up ? `${name} is up` : `${name} is away since ${time(since)}${reason ? `: ${reason}` : ""}`);
  element.classList.toggle("good", up);
  element.classList.toggle("bad", !up);
}
