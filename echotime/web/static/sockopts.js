// Socket options of the listeners or of one connection: requested, effective, explained, and set live.

import { command, hasToken, query } from "./daemon.js";
import { byId, element, setText } from "./dom.js";
import { daemonText, labeled, language, text } from "./language.js";

const FIELDS = ["socket", "name", "requested", "effective", "note"], TRANSLATED = new Set(["socket", "note"]);

export class SocketOptions {
  #refreshes = 0;
  #explained;

  constructor() {
    byId("target").addEventListener("change", () => this.refresh());
    byId("all").addEventListener("change", () => this.refresh());
    byId("set").querySelector("button").disabled = !hasToken;
    byId("set").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set();
    });
    this.refresh();
  }

  /** Show the options of one connection. */
  select(number) {
    const target = byId("target"), value = String(number);
    if (![...target.options].some((option) => option.value === value)) {
      target.append(new Option(text("connection {number}", { number }), value));
    }
    target.value = value;
    byId("all").checked = true;
    this.refresh();
    byId("options").scrollIntoView();
  }

  /** Show the options of the chosen target. A response that comes after a later choice is not shown. */
  async refresh() {
    const number = ++this.#refreshes;
    let rows = [], more, result;
    try {
      ({ rows, more } = await this.#read());
      result = more ? text("only the first {count} are shown", { count: rows.length }) : rows.length ? "" : text("none");
    } catch (error) {
      result = daemonText(error.message);
    }
    if (number !== this.#refreshes) return;
    byId("sockopts").replaceChildren(...rows.map((row) => this.#row(row)));
    setText(byId("set-result"), result);
  }

  /** Return the requested options, with `all` also the others, which the daemon only reads. */
  async #read() {
    const target = byId("target").value, all = byId("all").checked;
    const requested = await query("sockopts", { target });
    if (!all) return requested;
    const known = new Set(requested.rows.map((row) => `${row.name} ${row.socket}`));
    const { rows, more } = await query("sockopts", { target, names: "all" });
    return { rows: [...requested.rows, ...rows.filter((row) => !known.has(`${row.name} ${row.socket}`))], more };
  }

  #row(row) {
    const made = element("tr", {}, ...FIELDS.map((name) => element("td", {}, TRANSLATED.has(name) ? daemonText(row[name]) : row[name])));
    const button = element("button", { type: "button" }, row.name);
    button.addEventListener("click", () => this.#explain(row.name));
    made.cells[FIELDS.indexOf("name")].replaceChildren(button);
    made.cells[FIELDS.indexOf("note")].className = "remark";
    return made;
  }

  async #explain(name) {
    this.#explained = name;
    let option;
    try {
      option = await query("explain", { name, lang: language });
    } catch (error) {
      setText(byId("set-result"), daemonText(error.message));
      return;
    }
    if (name !== this.#explained) return;
    const when = option.settable ? text("To be set {deadline}.", option) : text("read-only");
    const parts = [option.meaning, option.use, option.caveat, when].filter(Boolean);
    byId("explanation").replaceChildren(element("h3", {}, option.name), ...parts.map((part) => element("p", {}, part)));
    if (option.settable) byId("assignment").value = `${option.name}=${option.example}`;
  }

  async #set() {
    const result = byId("set-result");
    try {
      const { rows } = await command("set", { target: byId("target").value, assignment: byId("assignment").value });
      await this.refresh();
      const value = rows.map((row) => labeled(daemonText(row.socket), `${row.name}=${row.effective} ${daemonText(row.note)}`.trim())).join("; ");
      setText(result, text("set: {value}", { value }));
    } catch (error) {
      setText(result, daemonText(error.message));
    }
  }
}
