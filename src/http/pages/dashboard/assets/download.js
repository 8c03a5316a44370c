// Readings as a file. The key cannot be in a link, so the file is fetched and then saved.

import { ApiError, request, withQuery } from "./api.js";
import { h } from "./dom.js";

/** Of a range, or all of them for null. Throws where the answer breaks off: a file that is saved is complete. */
export async function downloadCsv(id, range, signal) {
  const bounds = range ? { start: new Date(range.start).toISOString(), end: new Date(range.end).toISOString() } : {};
  const path = withQuery(`sensors/${id}/readings`, { ...bounds, order: "asc" });
  const response = await request(path, { headers: { accept: "text/csv" }, signal });
  let blob;
  try {
    blob = await response.blob();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, "the answer broke off; try again.");
  }
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: `sensor-${id}.csv` });
  link.click();
  // Once the browser has had the time to take it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
