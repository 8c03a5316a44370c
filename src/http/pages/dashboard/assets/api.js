// Requests to the api that served this page. The key is kept for this tab alone, and only ever sent as a header.

const KEY = "api-key";

let askForKey = () => {};

/** Who is called where the api wants a key. */
export function onKeyNeeded(callback) {
  askForKey = callback;
}

export function key() {
  return sessionStorage.getItem(KEY);
}

export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** An answer that is not a success, or none at all: then `status` is 0. */
export class ApiError extends Error {
  constructor(status, message, { body = null, retryAfterMs = 1000 } = {}) {
    super(message);
    this.status = status;
    this.body = body;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

/** The answer, whatever is in it. Throws an ApiError, or what the signal was aborted with. */
export async function request(path, { method = "GET", headers = {}, body, signal } = {}) {
  const token = key();
  const all = token ? { ...headers, authorization: `Bearer ${token}` } : headers;
  let response;
  try {
    response = await fetch(path, { method, headers: all, body, signal, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The api does not answer.");
  }
  if (response.ok) return response;
  const error = await asError(response);
  // Of a key that has been replaced meanwhile nobody wants to hear.
  if (error.status === 401 && token === key()) askForKey(error.message);
  throw error;
}

/** What a JSON route answers. */
export async function json(path, options = {}) {
  const { send, ...rest } = options;
  if (send !== undefined) {
    rest.body = JSON.stringify(send);
    rest.headers = { "content-type": "application/json", ...rest.headers };
  }
  const response = await request(path, rest);
  try {
    return await response.json();
  } catch (error) {
    if (rest.signal?.aborted) throw error;
    throw new ApiError(0, "The answer broke off.");
  }
}

/** A path with the parameters that are given. */
export function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return query ? `${path}?${query}` : path;
}

async function asError(response) {
  const body = await response.json().catch(() => null);
  const seconds = Number(response.headers.get("retry-after"));
  const retryAfterMs = seconds > 0 ? seconds * 1000 : 1000;
  return new ApiError(response.status, message(response, body), { body, retryAfterMs });
}

function message(response, body) {
  const detail = body?.detail;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) {
    return detail.map(({ loc, msg }) => `${loc.slice(1).join(".") || "request"}: ${msg}`).join(". ");
  }
  return `The api answered ${response.status} ${response.statusText}.`.replace(" .", ".");
}
