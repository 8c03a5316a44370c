// A list that comes a page at a time: its cursors, the buttons that turn its pages, one request at a time, and what
// stands there where one fails.

import { noteInAddress } from "./address.js";
import { h, notice, setText, table } from "./dom.js";

const LIMIT = 50;

export class PagedList {
  /**
   * `address` is of the page that shows it, `filter` what it asks for besides cursor and limit, `after` the cursor to
   * begin at. `ask(query, signal)` answers a page with the cursor of the `next`, or null; `draw(page, signal)` shows it.
   */
  constructor({ address, label, heads, filter, after, signal, ask, draw }) {
    Object.assign(this, { address, filter, ask, draw, signal });
    /** The cursors of the pages before this one, and this one's at the end. */
    this.cursors = [after];
    /** What came last; null before the first. */
    this.page = null;
    this.loading = new AbortController();
    this.summary = h("p", { class: "muted" });
    this.state = h("div");
    this.body = h("tbody");
    this.table = table(label, heads, this.body);
    this.back = h("button", { type: "button", on: { click: () => this.goBack() } }, "Previous page");
    this.forth = h("button", { type: "button", on: { click: () => this.goForth() } }, "Next page");
    const turning = h("nav", { class: "row", "aria-label": `Pages of ${label.toLowerCase()}` }, this.back, this.forth);
    this.elements = [this.summary, this.state, this.table, turning];
  }

  get isFirst() {
    return this.cursors.at(-1) === null;
  }

  get isFiltered() {
    return Object.values(this.filter).some((text) => text !== "");
  }

  /** From its first page. */
  async loadFirst() {
    this.cursors = [null];
    await this.load();
  }

  goForth() {
    this.cursors.push(this.page.next);
    void this.load();
  }

  goBack() {
    if (this.cursors.length > 1) this.cursors.pop();
    else this.cursors = [null];
    void this.load();
  }

  /** The page where it stands, as it is now. */
  async load() {
    this.loading.abort();
    this.loading = new AbortController();
    const signal = AbortSignal.any([this.signal, this.loading.signal]);
    const after = this.cursors.at(-1);
    noteInAddress(this.address, { ...this.filter, after });
    this.table.setAttribute("aria-busy", "true");
    try {
      const page = await this.ask({ ...this.filter, limit: LIMIT, after }, signal);
      this.page = page;
      this.back.disabled = this.isFirst;
      this.forth.disabled = page.next === null;
      this.state.replaceChildren();
      await this.draw(page, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.table.hidden = true;
      setText(this.summary, "");
      this.state.replaceChildren(notice("error", error.message,
        h("button", { type: "button", on: { click: () => this.load() } }, "Try again")));
    } finally {
      if (!signal.aborted) this.table.removeAttribute("aria-busy");
    }
  }

  /** Puts the page's rows in; where there are none, `empty` stands there instead of a table. */
  fill(rows, empty) {
    this.body.replaceChildren(...rows);
    this.table.hidden = rows.length === 0;
    if (rows.length === 0) this.state.replaceChildren(notice("empty", empty));
  }
}
