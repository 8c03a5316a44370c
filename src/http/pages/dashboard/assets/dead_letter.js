// All of a dead letter. Its bytes are anybody's: they become text, with everything unseen written out.

import { json } from "./api.js";
import { h, notice } from "./dom.js";
import { bytes, time, visible } from "./format.js";

export async function showLetter(id, signal) {
  const place = h("div", {}, notice("busy", "Loading…"));
  const close = h("button", { type: "button" }, "Close");
  const box = h("dialog", { class: "wide", "aria-label": `Dead letter ${id}` }, h("h2", {}, `Dead letter ${id}`), place, h("div", { class: "row" }, close));
  close.addEventListener("click", () => box.close());
  box.addEventListener("close", () => box.remove());
  signal.addEventListener("abort", () => box.close(), { once: true });
  document.body.append(box);
  box.showModal();
  try {
    const letter = await json(`dead-letters/${id}`, { signal });
    place.replaceChildren(facts(letter), h("h3", {}, "Payload"), payload(letter));
  } catch (error) {
    if (!signal.aborted) place.replaceChildren(notice("error", error.message));
  }
}

function facts(letter) {
  const rows = [
    ["Reason", letter.reason],
    ["What is wrong", visible(letter.detail)],
    ["Record", `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}${letter.item === null ? "" : `, item ${letter.item}`}${letter.readings === 1 ? "" : `, ${letter.readings} readings`}`],
    ["Set aside", time(Date.parse(letter.received_at))],
    ["Record's time", letter.record_time ? time(Date.parse(letter.record_time)) : "not known"],
    ["Key", shown(letter.key)],
    ...letter.headers.map(({ key, value, base64 }) => [`Header ${visible(key)}`, value === undefined || value === null ? `base64 ${base64}` : visible(value)]),
  ];
  return h("dl", { class: "facts" }, rows.flatMap(([name, text]) => [h("dt", {}, name), h("dd", { class: "theirs" }, text)]));
}

function payload({ payload: content, payload_bytes: length }) {
  const text = content === null ? "The record has no value." : shown(content);
  return h("div", {}, h("p", { class: "muted" }, length === null ? "" : bytes(length)), h("pre", { class: "payload theirs", tabindex: "0", "aria-label": "Payload" }, text));
}

function shown(content) {
  if (content === null) return "none";
  return content.text === undefined ? `base64 ${content.base64}` : visible(content.text);
}
