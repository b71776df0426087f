// The page: one event stream feeds all parts.

import { Connections } from "./connections.js";
import { EventStream, query } from "./daemon.js";
import { Desk } from "./desk.js";
import { byId, element, limitChildren, setText } from "./dom.js";
import { daemonText, labeled, language, text, translateDocument, useTexts } from "./language.js";
import { showStatus } from "./overview.js";
import { Plots } from "./plots.js";
import { SocketOptions } from "./sockopts.js";

const MAX_LINES = 200, PAUSE = 250, ANNOUNCE_PAUSE = 2000;

const via = (event) => event.via ? text(" via {via}", event) : "";
// refusals have the names of counters, such as `datagrams refused (loop)`
const outcome = (name) => {
  const translated = text(name);
  return translated !== name ? translated : text(`datagrams ${name}`).replace(/^(datagrams |数据报)/, "");
};
const LINES = {
  connection_opened: (event) => text("connection from {peer}{via}", { ...event, via: via(event) }),
  message: (event) => `${event.peer}: ${event.message}`,
  connection_closed: (event) => text(
    "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out",
    { ...event, how: daemonText(event.how) }),
  datagram: (event) => text("datagram from {peer}, length {size}, {outcome}",
    { ...event, outcome: outcome(event.outcome) }) + (event.message ? `: ${event.message}` : ""),
  events_dropped: (event) => text("events dropped: {count}", event),
};

/** Return a function that collects what it gets, and passes all of it to `run` at most once per pause. */
function collect(pause, run) {
  let waiting = null;
  return (value) => {
    if (waiting === null) {
      waiting = [];
      setTimeout(() => { const all = waiting; waiting = null; run(all); }, pause);
    }
    waiting.push(value);
  };
}

translateDocument();
// while the token is missing, there is nothing to translate
if (language !== "en") query("texts", { lang: language }).then(useTexts, () => {});
// a screen reader speaks the last text only, and not each of a hundred a second
const announce = collect(ANNOUNCE_PAUSE, (texts) => setText(byId("announcer"), texts.at(-1)));
const addLine = collect(PAUSE, (lines) => {
  byId("events").prepend(...lines.slice(-MAX_LINES).reverse().map((line) => element("li", {}, line)));
  limitChildren(byId("events"), MAX_LINES);
});
const showError = (error) => {
  byId("link").className = error ? "state bad" : "state good";
  setText(byId("link"), error ? text("not connected: {reason}", { reason: daemonText(error.message) }) : text("connected"));
};

const options = new SocketOptions();
const connections = new Connections((number) => options.select(number), showError);
const plots = new Plots();
const desk = new Desk(announce);
let health = "";

const stream = new EventStream((name, event) => {
  if (name === "status") {
    showStatus(event);
    plots.add(event, connections.rtt);
    const now = event.health.map((each) => labeled(each.listener, text(each.status))).join("; ");
    if (health && now !== health) announce(now);
    health = now;
  } else if (name === "question") {
    desk.asked(event);
  } else if (name === "question_settled") {
    desk.settled(event);
  } else {
    if (name === "connection_opened" || name === "connection_closed") refreshSoon(name);
    addLine(LINES[name](event));
  }
}, (error) => {
  if (!error) desk.clear();
  showError(error);
});
// a new connection appears at once, however many come
const refreshSoon = collect(PAUSE, () => connections.refresh());
desk.use(stream);
