// Server-sent events by fetch: an EventSource cannot send the key as a header.

import { request } from "./api.js";
import { pause } from "./dom.js";

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 15_000;

/**
 * Follows a stream until the signal, and connects again wherever it breaks off or falls silent.
 *
 * `onEvent({ event, data, id })` for each event; `onState({ isOpen, error, retryInMs })` where that changes.
 */
export async function follow(path, { onEvent, onState, silenceMs }, signal) {
  let failures = 0;
  let shortestMs = BACKOFF_MIN_MS;
  let lastId = null;
  while (!signal.aborted) {
    let error = null;
    try {
      await once(path, { lastId, silenceMs, signal }, (message) => {
        if (message.retryMs !== null) shortestMs = message.retryMs;
        if (message.id !== null) lastId = message.id;
        failures = 0;
        if (message.data !== null) onEvent(message);
      }, () => onState({ isOpen: true, error: null, retryInMs: 0 }));
    } catch (caught) {
      if (signal.aborted) return;
      error = caught;
      // The dialog for the key starts the page anew; a key without the scope does not get it by asking again.
      if (error.status === 401 || error.status === 403 || error.status === 404) {
        onState({ isOpen: false, error, retryInMs: null });
        return;
      }
    }
    if (signal.aborted) return;
    const backoff = Math.min(BACKOFF_MAX_MS, shortestMs * 2 ** failures);
    const retryInMs = Math.round(backoff * (0.75 + Math.random() / 2));
    failures += 1;
    onState({ isOpen: false, error, retryInMs });
    await pause(retryInMs, signal);
  }
}

async function once(path, { lastId, silenceMs, signal }, onMessage, onOpen) {
  const silence = new AbortController();
  const both = AbortSignal.any([signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), silenceMs);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), silenceMs);
  };
  try {
    const headers = { accept: "text/event-stream" };
    if (lastId !== null) headers["last-event-id"] = lastId;
    const response = await request(path, { headers, signal: both });
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser(onMessage);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      parser.take(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Cuts a text/event-stream into messages, however it arrives. */
export class Parser {
  constructor(onMessage) {
    this.onMessage = onMessage;
    this.rest = "";
    this.reset();
  }

  reset() {
    this.message = { event: "message", data: null, id: null, retryMs: null };
  }

  take(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  line(line) {
    if (line === "") {
      const { message } = this;
      this.reset();
      this.onMessage(message);
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.message.data = this.message.data === null ? value : `${this.message.data}\n${value}`;
    else if (field === "event") this.message.event = value;
    else if (field === "id") this.message.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.message.retryMs = Number(value);
  }
}
