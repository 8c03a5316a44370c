// Files of readings, line by line. Pure: what a line means, or what is wrong with it.

const SEPARATORS = [",", ";", "\t"];
const TIME_NAMES = ["timestamp", "time", "date"];

/**
 * Reads the lines of a CSV or NDJSON file for one sensor. `take(line)` answers `{ reading }` for one to send,
 * `{ error }` for one that cannot be, or null for one that says nothing: an empty one, or the names of the columns.
 *
 * Every reading needs a time of its own: one without gets the time at which it arrives, so that what is sent again after
 * a failure would be stored twice.
 */
export class Lines {
  constructor(sensorId) {
    this.sensorId = sensorId;
    this.form = null;
  }

  take(line) {
    const text = line.replace(/^\ufeff/, "").trim();
    if (text === "") return null;
    if (this.form === null) {
      if (text.startsWith("{")) {
        this.form = (other) => this.json(other);
      } else {
        const columns = columnsOf(text);
        this.form = (other) => this.csv(other, columns);
        if (columns.isHead) return null;
      }
    }
    return this.form(text);
  }

  json(text) {
    let item;
    try {
      item = JSON.parse(text);
    } catch {
      return { error: "not JSON" };
    }
    if (item === null || typeof item !== "object" || Array.isArray(item)) return { error: "not an object" };
    return this.reading(item.sensor_id, item.timestamp, item.value);
  }

  csv(text, { separator, sensor, time, value, width }) {
    const cells = cellsOf(text, separator);
    if (cells === null) return { error: "a quotation mark is not closed" };
    if (cells.length !== width) return { error: `${cells.length} columns instead of ${width}` };
    const sensorId = sensor < 0 || cells[sensor] === "" ? undefined : Number(cells[sensor]);
    return this.reading(sensorId, cells[time], cells[value]);
  }

  reading(sensorId, timestamp, value) {
    if (sensorId !== undefined && Number(sensorId) !== this.sensorId) return { error: `it is of sensor ${sensorId}, not ${this.sensorId}` };
    if (timestamp === undefined || timestamp === null || timestamp === "") return { error: "no timestamp" };
    if (value === undefined || value === null || value === "") return { error: "no value" };
    return { reading: { sensor_id: this.sensorId, timestamp, value } };
  }
}

/** By its names where the first line has some, else time and value, or sensor, time and value. */
function columnsOf(text) {
  const separator = SEPARATORS.find((candidate) => text.includes(candidate)) ?? ",";
  const names = (cellsOf(text, separator) ?? []).map((name) => name.toLowerCase());
  const time = names.findIndex((name) => TIME_NAMES.includes(name));
  const value = names.indexOf("value");
  if (time >= 0 && value >= 0) {
    return { isHead: true, separator, time, value, sensor: names.indexOf("sensor_id"), width: names.length };
  }
  const three = names.length === 3;
  return { isHead: false, separator, sensor: three ? 0 : -1, time: three ? 1 : 0, value: three ? 2 : 1, width: three ? 3 : 2 };
}

/** The cells of a line of CSV, which may be in quotation marks; null where one is not closed. */
function cellsOf(text, separator) {
  const cells = [];
  let cell = "";
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isQuoted) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') cell += text[(at += 1)];
      else isQuoted = false;
    } else if (character === '"' && cell.trim() === "") {
      [isQuoted, cell] = [true, ""];
    } else if (character === separator) {
      cells.push(cell.trim());
      cell = "";
    } else {
      cell += character;
    }
  }
  cells.push(cell.trim());
  return isQuoted ? null : cells;
}
