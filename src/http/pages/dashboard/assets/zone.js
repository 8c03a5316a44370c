// The time zone that every time on the pages is in.

const STORED_AS = "time-zone";

const listeners = new Set();
let current = initial();

function isKnown(zone) {
  try {
    return Boolean(zone) && Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
}

function initial() {
  const stored = localStorage.getItem(STORED_AS);
  return isKnown(stored) ? stored : "UTC";
}

export function zone() {
  return current;
}

/** Calls back when the zone changes, until the signal. */
export function onZone(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
}

/** Fills the select with UTC, the browser's own zone, and all others. */
export function offerZones(select) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const others = Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC" && name !== own);
  for (const name of new Set(["UTC", own, current, ...others])) select.append(new Option(name, name));
  select.value = current;
  select.addEventListener("change", () => {
    current = select.value;
    localStorage.setItem(STORED_AS, current);
    for (const listener of listeners) listener();
  });
}

/** The numbers on a calendar and a clock of the zone at an instant. */
export function local(ms, timeZone = current) {
  const parts = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(ms)) parts[type] = Number(value);
  return parts;
}

/** The date that the zone's calendar shows so many days after that of an instant, as the api takes it. */
export function dateFrom(ms, days, timeZone = current) {
  const { year, month, day } = local(ms, timeZone);
  return new Date(Date.UTC(year, month - 1, day + days)).toISOString().slice(0, 10);
}

const formats = new Map();

function formatOf(timeZone) {
  if (!formats.has(timeZone)) {
    formats.set(timeZone, new Intl.DateTimeFormat("en", {
      timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
      hour: "numeric", minute: "numeric", second: "numeric",
    }));
  }
  return formats.get(timeZone);
}

/** How far the zone's clock is ahead of UTC's at an instant. */
function offsetMs(ms, timeZone) {
  const { year, month, day, hour, minute, second } = local(ms, timeZone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
}

/** The instant at which the zone's clock shows this, as `<input type=datetime-local>` says it: the first of two, and where it
 * skips this, when it does; as for the api. */
export function instant(text, timeZone = current) {
  const shown = Date.parse(`${text}Z`);
  if (Number.isNaN(shown)) return null;
  const hour = 3_600_000;
  // The offset is one of those around that time; of two that fit, the earlier instant.
  const candidates = [shown - 26 * hour, shown, shown + 26 * hour].map((around) => shown - offsetMs(around, timeZone));
  const fitting = candidates.filter((at) => at + offsetMs(at, timeZone) === shown);
  return fitting.length > 0 ? Math.min(...fitting) : endOfGap(shown, timeZone);
}

/** When the zone's clock is put past a time that it skips. */
function endOfGap(shown, timeZone) {
  const day = 86_400_000;
  let [before, after] = [shown - 2 * day, shown + 2 * day];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (middle + offsetMs(middle, timeZone) < shown) before = middle;
    else after = middle;
  }
  return after;
}
