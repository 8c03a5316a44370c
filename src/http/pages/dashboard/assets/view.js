// Ranges of time: moved, narrowed, widened. Pure.

/** From then on, in milliseconds, to then. */
export const SPAN_MIN_MS = 1_000;
const SPAN_MAX_MS = 200 * 366 * 86_400_000;
// The years 1 and 9999, which is what the api takes.
const EARLIEST_MS = -62_135_596_800_000;
const LATEST_MS = 253_402_300_800_000;

/** A range that may be asked for. */
export function bounded({ start, end }) {
  const middle = (start + end) / 2;
  const span = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, end - start));
  const from = Math.min(Math.max(middle - span / 2, EARLIEST_MS), LATEST_MS - span);
  return { start: Math.round(from), end: Math.round(from + span) };
}

/** Moved by a part of its length. */
export function moved({ start, end }, part) {
  const by = (end - start) * part;
  return bounded({ start: start + by, end: end + by });
}

/** `factor` below 1 narrows it around `around`, which stays where it is. */
export function scaled({ start, end }, factor, around = (start + end) / 2) {
  return bounded({ start: around - (around - start) * factor, end: around + (end - around) * factor });
}

/** The last `spanMs` before `end`. */
export function lastOf(end, spanMs) {
  return bounded({ start: end - spanMs, end });
}

/**
 * Columns with a gap where readings are missing: where two points are much further apart than most of them are.
 * A line over a gap would be made up.
 */
export function withGaps({ time, min, max, avg, count }) {
  const columns = [[], [], [], [], []];
  const steps = time.slice(1).map((at, index) => at - time[index]).sort((a, b) => a - b);
  const usual = steps.length > 0 ? steps[Math.floor(steps.length / 2)] : 0;
  time.forEach((at, index) => {
    const before = time[index - 1];
    if (index > 0 && at - before > 5 * usual) push(columns, [before + usual / 2, null, null, null, 0]);
    push(columns, [at, min[index], max[index], avg[index], count[index]]);
  });
  return columns;
}

function push(columns, row) {
  row.forEach((cell, column) => columns[column].push(cell));
}
