// What the daemon serves, its state, and what it refused.

import { byId, element, setText } from "./dom.js";
import { daemonText, labeled, text } from "./language.js";

function table(body, rows) {
  rows.forEach((cells, index) => {
    const row = body.rows[index] ?? body.insertRow();
    cells.forEach((cell, place) => setText(row.cells[place] ?? row.insertCell(), cell));
  });
  while (body.rows.length > rows.length) body.lastElementChild.remove();
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), pad = (value) => String(value).padStart(2, "0");
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(Math.floor(seconds % 60))}`;
}

/** Show an event `status`. */
export function showStatus(status) {
  setText(byId("version"), status.version);
  const facts = [
    ["Process", status.pid], ["Uptime", duration(status.seconds)], ["Clock", daemonText(status.clock)],
    ["Open connections", status.max_connections
      ? text("{count} of {limit}", { count: status.connections, limit: status.max_connections }) : status.connections],
    ["Pending questions", status.questions], ["Operators", status.operators],
  ];
  if (status.stopping_in !== null) {
    facts.push(["Stopping in", text("{count} s", { count: Math.ceil(status.stopping_in) })]);
  }
  const list = byId("facts");
  if (list.children.length !== 2 * facts.length) {
    list.replaceChildren(...facts.flatMap(([name]) => [element("dt", {}, text(name)), element("dd")]));
  }
  facts.forEach(([, value], index) => setText(list.children[2 * index + 1], String(value)));

  const checks = new Map(status.health.map((each) => [each.listener, each]));
  const queues = new Map(status.backlog.map((each) => [each.listener, each]));
  const body = byId("listeners").tBodies[0];
  table(body, status.listening.map((name) => {
    const check = checks.get(name), queue = queues.get(name);
    const shown = text(check?.status ?? "not checked yet");
    const state = check?.reason ? labeled(shown, daemonText(check.reason)) : shown;
    const pending = queue ? `${queue.pending} / ${queue.limit}` : "";
    return [name, state, pending];
  }));
  status.listening.forEach((name, index) => {
    const hung = checks.get(name)?.status === "hung";
    body.rows[index].cells[1].className = hung ? "bad" : checks.has(name) ? "good" : "";
  });
  const refusals = Object.entries(status.refusals).map(([name, count]) => [daemonText(name), String(count)]);
  table(byId("refusals"), refusals.length ? refusals : [[text("none"), ""]]);
  for (const row of byId("refusals").rows) row.cells[1].className = "number";
}
