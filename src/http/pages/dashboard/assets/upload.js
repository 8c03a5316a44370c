// Sends the readings of a file or a text, some thousand lines to a request, and says what is wrong with which line.

import { ApiError, json } from "./api.js";
import { pause } from "./dom.js";
import { Lines } from "./lines.js";

// The api names the first 100 bad items of a request; few of these exceed that.
const REQUEST_LINES = 2_000;
const ERRORS_KEPT = 1_000;
const ATTEMPTS = 8;

/**
 * Sends everything in `blob`. `onProgress({ bytes, accepted, failed, errors })` after each request; the same at the end.
 * Throws where the api takes no more: what it took before is in `progress` of the error.
 */
export async function upload(sensorId, blob, onProgress, signal) {
  const state = { bytes: 0, accepted: 0, failed: 0, errors: [] };
  const lines = new Lines(sensorId);
  let batch = [];
  let number = 0;
  const refuse = (line, message) => {
    state.failed += 1;
    if (state.errors.length < ERRORS_KEPT) state.errors.push({ line, message });
  };
  const flush = async (isLast = false) => {
    if (batch.length > 0) await send(batch, { state, refuse, isLast, signal });
    batch = [];
    state.errors.sort((a, b) => a.line - b.line);
    onProgress(state);
  };
  const take = async (text) => {
    number += 1;
    const { reading, error } = lines.take(text) ?? {};
    if (error) refuse(number, error);
    if (reading) batch.push({ line: number, reading });
    if (batch.length >= REQUEST_LINES) await flush();
  };

  let rest = "";
  try {
    const decoder = new TextDecoder();
    const reader = blob.stream().getReader();
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const whole = rest.split("\n");
      rest = done ? "" : whole.pop();
      for (const text of whole) await take(text);
      if (done) break;
      state.bytes += value.length;
    }
    await flush(true);
  } catch (error) {
    error.progress = state;
    throw error;
  }
  return state;
}

/** Again where the api has no room or no Kafka for now: readings have times of their own, so none is stored twice. */
async function send(batch, { state, refuse, isLast, signal }) {
  const body = batch.map(({ reading }) => JSON.stringify(reading)).join("\n");
  const headers = { "content-type": "application/x-ndjson" };
  // Then whoever looks at the readings next sees them.
  if (isLast) headers.prefer = "wait=5";
  for (let attempt = 1; ; attempt += 1) {
    try {
      const report = await json("readings", { method: "POST", headers, body, signal });
      state.accepted += report.accepted;
      for (const { index, message } of report.errors) refuse(batch[index].line, message);
      const unnamed = report.failed - report.errors.length;
      for (let more = 0; more < unnamed; more += 1) refuse(batch.at(-1).line, `one of the lines from ${batch[0].line} on; the api names only the first`);
      return;
    } catch (error) {
      if (!(error instanceof ApiError) || !error.mayPass || attempt === ATTEMPTS) throw error;
      await pause(error.retryAfterMs, signal);
      signal.throwIfAborted();
    }
  }
}
