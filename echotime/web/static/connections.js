// The table of connections: the first ones by the chosen column, read again while the page is visible.

import { command, hasToken, query } from "./daemon.js";
import { byId, element, setText } from "./dom.js";
import { labeled, text } from "./language.js";

const INTERVAL = 2000, MAX_ROWS = 200;
const seconds = (value) => value < 100 ? value.toFixed(1) : value.toFixed(0);
const COLUMNS = [
  ["number", "Number", String], ["peer", "Peer", String], ["via", "Via", (value) => value ?? ""],
  ["age", "Age (s)", seconds], ["bytes_in", "Bytes in", String], ["bytes_out", "Bytes out", String], ["messages", "Messages", String],
  ["awaiting_reply", "Waiting", (value) => value ? text("yes") : ""],
  ["rtt", "RTT (ms)", (value) => (1000 * value).toFixed(2)], ["retransmits", "Retransmits", String],
  ["unsent", "Unsent", String],
];
const TEXTUAL = new Set(["peer", "via", "awaiting_reply"]);
const alignment = (name) => TEXTUAL.has(name) ? "" : "number";

export class Connections {
  /** Median of the round-trip times of the connections shown, in seconds. */
  rtt = null;
  #rows = new Map();
  #sort = "number";
  #order = "desc";
  #onOptions;
  #onError;
  #timer;

  constructor(onOptions, onError) {
    this.#onOptions = onOptions;
    this.#onError = onError;
    for (const [name, title] of COLUMNS) {
      const button = element("button", { type: "button" }, text(title));
      button.addEventListener("click", () => this.#sortBy(name));
      byId("columns").append(element("th", { scope: "col", id: `column-${name}`, className: alignment(name) }, button));
    }
    byId("columns").append(element("td"));
    document.addEventListener("visibilitychange", () => this.refresh());
    this.#markSorted();
    this.refresh();
  }

  #sortBy(name) {
    this.#order = name === this.#sort && this.#order === "desc" ? "asc" : "desc";
    byId(`column-${this.#sort}`).removeAttribute("aria-sort");
    this.#sort = name;
    this.#markSorted();
    this.refresh();
  }

  #markSorted() {
    byId(`column-${this.#sort}`).setAttribute("aria-sort", this.#order === "asc" ? "ascending" : "descending");
  }

  /** Show the first connections. A response that comes after the choice of another order is not shown. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const sort = this.#sort, order = this.#order;
    try {
      const found = await query("connections", { sort, order, limit: MAX_ROWS });
      if (sort !== this.#sort || order !== this.#order) return;
      this.#show(found);
    } catch (error) {
      this.#onError(error);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), INTERVAL);
  }

  #show({ rows, total }) {
    setText(byId("shown"), text("{shown} of {total}", { shown: rows.length, total }));
    const times = rows.map((row) => row.rtt).sort((a, b) => a - b);
    this.rtt = times.length ? times[times.length >> 1] : null;
    const before = this.#rows;
    this.#rows = new Map(rows.map((row) => [row.number, before.get(row.number) ?? this.#newRow(row.number)]));
    for (const row of rows) {
      const cells = this.#rows.get(row.number).cells;
      COLUMNS.forEach(([name, , show], index) => setText(cells[index], show(row[name])));
    }
    const shown = [...this.#rows.values()], body = byId("rows");
    // moving a row would take the focus from its buttons
    if (shown.length !== body.rows.length || shown.some((row, index) => row !== body.rows[index])) {
      const focused = document.activeElement;
      body.replaceChildren(...shown);
      if (body.contains(focused)) focused.focus();
    }
  }

  #newRow(number) {
    const row = element("tr");
    for (const [name] of COLUMNS) row.append(element("td", { className: alignment(name) }));
    const act = (title, run, disabled) => {
      const button = element("button", { type: "button", disabled }, text(title));
      button.setAttribute("aria-label", labeled(text(title), text("connection {number}", { number })));
      button.addEventListener("click", run);
      return button;
    };
    const end = (path) => async () => {
      try { await command(path, { number }); } catch (error) { this.#onError(error); }
      this.refresh();
    };
    row.append(element("td", {}, act("Options", () => this.#onOptions(number), false), " ",
      act("Close", end("close"), !hasToken), " ", act("Reset", end("reset"), !hasToken)));
    return row;
  }
}
