// The address after the #, as far as a page changes it while it stays.

/** What a page shows can be sent to somebody, or come back to. Goes nowhere. */
export function noteInAddress(path, query) {
  history.replaceState(null, "", addressOf(path, query));
}

export function addressOf(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}
