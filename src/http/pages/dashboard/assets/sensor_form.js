// Dialogs that make, change and delete a sensor.

import { json } from "./api.js";
import { dialog } from "./dialog.js";
import { announce, h } from "./dom.js";

const FIELDS = [
  ["sensor_type", "Type", 50, "temperature"],
  ["location", "Location", 255, "Backyard"],
  ["description", "Description", 255, "Outdoor temperature sensor"],
];

/** Asks for a new sensor; its id, or null where there came none of it. */
export function createSensor() {
  return ask("New sensor", "Create", {}, async (fields) => {
    const { sensor_id: id } = await json("sensors", { method: "POST", send: fields });
    announce(`Sensor ${id} is created.`);
    return id;
  });
}

/** Asks what to change; the sensor as it is then, or null. */
export function editSensor(sensor) {
  return ask(`Sensor ${sensor.sensor_id}`, "Save", sensor, async (fields) => {
    const changed = await json(`sensors/${sensor.sensor_id}`, { method: "PATCH", send: fields });
    announce(`Sensor ${sensor.sensor_id} is changed.`);
    return changed;
  });
}

function ask(title, verb, sensor, save) {
  const inputs = FIELDS.map(([name, label, longest, example]) => [name, label, h("input", {
    name, maxlength: String(longest), required: name === "sensor_type", placeholder: example, autocomplete: "off",
    value: sensor[name] ?? "",
  })]);
  const fieldsOf = () => Object.fromEntries(inputs.map(([name, , input]) => [name, input.value === "" ? null : input.value]));
  const form = h("form", {}, inputs.map(([, label, input]) => h("label", { class: "field" }, label, input)));
  return dialog(title, form, verb, "primary", () => save(fieldsOf()));
}

/** Asks whether to delete it; true once it is gone. */
export function deleteSensor({ sensor_id: id, sensor_type: type }) {
  const too = h("input", { type: "checkbox", name: "readings" });
  const form = h("form", {},
    h("p", {}, "Sensor ", String(id), ", ", h("span", { class: "theirs" }, type), ", is deleted for good. What is sent for it later becomes a dead letter."),
    h("label", { class: "row" }, too, "Delete its readings, too"));
  return dialog(`Delete sensor ${id}?`, form, "Delete", "danger", async () => {
    await json(`sensors/${id}${too.checked ? "?readings=delete" : ""}`, { method: "DELETE" });
    announce(`Sensor ${id} is deleted.`);
    return true;
  });
}
