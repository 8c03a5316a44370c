// Sends readings by hand: one from a form, or many from a text or a file.

import { json } from "./api.js";
import { announce, h, setText, table } from "./dom.js";
import { bytes, count } from "./format.js";
import { upload } from "./upload.js";
import { instant, onZone, zone } from "./zone.js";

const ERRORS_SHOWN = 200;

/** A form for one reading. `onStored` once queries may show it. */
export function sendOne(id, { signal, onStored }) {
  const value = h("input", { name: "value", inputmode: "decimal", autocomplete: "off", required: true });
  const at = h("input", { name: "timestamp", type: "datetime-local", step: "0.001" });
  const zoneName = h("span", {}, zone());
  onZone(() => setText(zoneName, zone()), signal);
  const said = h("p", { class: "notice", role: "status", hidden: true });
  const submit = h("button", { class: "primary" }, "Send");
  const tell = (kind, text) => {
    said.hidden = false;
    said.className = `notice ${kind}`;
    setText(said, text);
  };
  const form = h("form", { on: { submit: async (event) => {
    event.preventDefault();
    const timestamp = at.value === "" ? undefined : new Date(instant(at.value)).toISOString();
    submit.disabled = true;
    try {
      const { state } = await json(`sensor_data/${id}`, {
        method: "POST", headers: { prefer: "wait=5" }, send: { value: value.value.trim(), timestamp }, signal,
      });
      tell("good", state === "stored" ? "Stored." : "Kafka has it; it is stored as soon as a worker comes to it.");
      value.value = "";
      onStored();
    } catch (error) {
      if (!signal.aborted) tell("error", error.message);
    } finally {
      submit.disabled = false;
      value.focus();
    }
  } } },
  h("div", { class: "row" },
    h("label", { class: "field grow" }, "Value", value),
    h("label", { class: "field grow" }, h("span", {}, "Time (", zoneName, "), now if empty"), at)),
  h("div", { class: "row" }, submit), said);
  return h("section", { class: "panel", "aria-labelledby": "send-one" }, h("h2", { id: "send-one" }, "Send a reading"), form);
}

/** A form for a CSV or NDJSON text, or a file of any size. */
export function sendMany(id, { signal, onStored }) {
  const text = h("textarea", { name: "lines", spellcheck: "false", placeholder: "timestamp,value\n2026-11-01T00:00:00Z,21.5" });
  const file = h("input", { type: "file", name: "file", accept: ".csv,.ndjson,.jsonl,.txt,text/csv,application/x-ndjson" });
  const progress = h("progress", { max: "1", value: "0", "aria-label": "Sent", hidden: true });
  const said = h("p", { class: "notice", role: "status", hidden: true });
  const rows = h("tbody");
  const wrong = table("Lines that were not taken", [["Line", "number"], ["What is wrong"]], rows);
  wrong.hidden = true;
  const submit = h("button", { class: "primary" }, "Send the lines");
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const tell = (kind, message) => {
    said.hidden = false;
    said.className = `notice ${kind}`;
    setText(said, message);
  };
  const show = (blob) => ({ bytes: sent, accepted, failed, errors }) => {
    progress.value = blob.size === 0 ? 1 : sent / blob.size;
    tell("", `${count(accepted)} readings accepted, ${count(failed)} lines not; ${bytes(sent)} of ${bytes(blob.size)} read`);
    const shown = errors.slice(0, ERRORS_SHOWN);
    wrong.hidden = shown.length === 0;
    if (rows.rows.length !== shown.length) {
      rows.replaceChildren(...shown.map(({ line, message }) => h("tr", {}, h("td", { class: "number" }, count(line)), h("td", { class: "theirs" }, message))));
    }
  };
  const form = h("form", { on: { submit: async (event) => {
    event.preventDefault();
    const blob = file.files[0] ?? new Blob([text.value]);
    if (blob.size === 0) {
      tell("error", "Paste some lines or choose a file first.");
      return;
    }
    const stopping = new AbortController();
    stop.onclick = () => stopping.abort();
    [submit.disabled, stop.hidden, progress.hidden, progress.value] = [true, false, false, 0];
    rows.replaceChildren();
    try {
      const { accepted, failed } = await upload(id, blob, show(blob), AbortSignal.any([signal, stopping.signal]));
      const done = `${count(accepted)} readings accepted${failed > 0 ? `, ${count(failed)} lines not: each is named below` : ""}.`;
      tell(failed > 0 ? "warn" : "good", done);
      announce(done);
    } catch (error) {
      if (signal.aborted) return;
      const { accepted = 0 } = error.progress ?? {};
      const why = stopping.signal.aborted ? "Stopped." : error.message;
      tell("error", `${why} ${count(accepted)} readings were accepted before. Sending the same again is safe: none is stored twice.`);
    } finally {
      [submit.disabled, stop.hidden, progress.hidden] = [false, true, true];
      onStored();
    }
  } } },
  h("p", { class: "muted" }, "CSV with the columns timestamp and value, or NDJSON with a reading as JSON on each line; what the CSV download gives fits, too. A time without an offset is UTC."),
  h("label", { class: "field" }, "Lines", text),
  h("label", { class: "field" }, "Or a file", file),
  h("div", { class: "row" }, submit, stop), progress, said, wrong);
  return h("section", { class: "panel", "aria-labelledby": "send-many" }, h("h2", { id: "send-many" }, "Send many"), form);
}
