// Numbers, times and texts as people read them.

import { local } from "./zone.js";

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const RATE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const VALUE = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });

/** What stands for a number that there is not. */
export const NONE = "–";

const isNumber = (number) => typeof number === "number" && Number.isFinite(number);

export function count(number) {
  return isNumber(number) ? COUNT.format(number) : NONE;
}

export function rate(perSecond) {
  if (!isNumber(perSecond)) return NONE;
  return (perSecond < 100 ? RATE : COUNT).format(perSecond);
}

/** A measured value; the very large and the very small in powers of ten. */
export function value(number) {
  if (!isNumber(number)) return NONE;
  const size = Math.abs(number);
  return size !== 0 && (size >= 1e9 || size < 1e-4) ? number.toExponential(4) : VALUE.format(number);
}

const two = (number) => String(number).padStart(2, "0");

export function date(ms) {
  const { year, month, day } = local(ms);
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}`;
}

export function clock(ms) {
  const { hour, minute, second } = local(ms);
  return `${two(hour)}:${two(minute)}:${two(second)}`;
}

export function time(ms) {
  return isNumber(ms) ? `${date(ms)} ${clock(ms)}` : NONE;
}

/** With milliseconds where it has some. */
export function exactTime(ms) {
  const rest = ((ms % 1000) + 1000) % 1000;
  return rest === 0 ? time(ms) : `${time(ms)}.${String(Math.trunc(rest)).padStart(3, "0")}`;
}

const SPANS = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];

/** A length of time in its largest unit. */
export function span(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 1) return seconds <= 0.0005 ? "0 s" : `${Math.round(seconds * 1000)} ms`;
  const [unit, length] = SPANS.find(([, length]) => seconds >= length * (length === 1 ? 1 : 2)) ?? SPANS[3];
  const amount = seconds / length;
  return `${amount < 10 && unit !== "s" ? amount.toFixed(1).replace(/\.0$/, "") : Math.round(amount)} ${unit}`;
}

export function bytes(number) {
  if (!isNumber(number)) return NONE;
  if (number < 1_000) return `${number} B`;
  return number < 1_000_000 ? `${(number / 1_000).toFixed(1)} kB` : `${(number / 1_000_000).toFixed(1)} MB`;
}

// Control characters, what turns the direction of a line, and what has no width.
const UNSEEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text with everything written out that a reader would not see, or would see as something else. */
export function visible(text) {
  return text.replace(UNSEEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}
