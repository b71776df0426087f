// Live plots of rates. Rates are the differences of the daemon's totals, which come once a second.

/* global uPlot */
import { byId, element, setText } from "./dom.js";
import { labeled, text } from "./language.js";

const POINTS = 180, HEIGHT = 110;
const PLOTS = [
  ["connections/s", (rate) => [rate("connections")]],
  ["messages/s", (rate) => [rate("messages")]],
  ["bytes/s in, out", (rate) => [rate("bytes_in"), rate("bytes_out")]],
  ["datagrams/s", (rate) => [rate("datagrams")]],
  ["RTT in ms, median of those shown", (rate, rtt) => [rtt === null ? null : 1000 * rtt]],
];
const COLORS = ["--accent", "--second"];
const number = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const show = (value) => value === null ? "–" : number.format(value);

const clock = (time) => new Date(1000 * time).toTimeString().slice(0, 5);

class Plot {
  constructor(title, values) {
    this.values = values;
    this.title = text(title);
    this.data = [[], ...values(() => null, null).map(() => [])];
    this.caption = element("figcaption", {}, this.title);
    this.figure = element("figure", {}, this.caption);
    byId("plots").append(this.figure);
  }

  draw() {
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, font: "11px system-ui" };
    this.plot = new uPlot({
      width: this.figure.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      scales: { x: { range: (_plot, _low, high) => [high - POINTS, high] }, y: { range: (_plot, _low, high) => [0, 1.1 * high || 1] } },
      axes: [{ ...axis, size: 24, space: 40, values: (_plot, ticks) => ticks.map(clock) }, { ...axis, size: 44, values: (_plot, ticks) => ticks.map(show) }],
      series: [{}, ...this.data.slice(1).map((_, index) => ({ stroke: color(COLORS[index]), width: 1.5 }))],
    }, this.data, this.figure);
  }

  add(time, values) {
    [time, ...values].forEach((value, index) => {
      this.data[index].push(value);
      if (this.data[index].length > POINTS) this.data[index].shift();
    });
    setText(this.caption, labeled(this.title, values.map(show).join(", ")));
    if (!document.hidden) this.plot.setData(this.data);
  }
}

export class Plots {
  #plots = PLOTS.map(([title, values]) => new Plot(title, values));
  #last = null;

  constructor() {
    this.#draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#resize()).observe(byId("plots"));
  }

  #draw() {
    for (const plot of this.#plots) plot.draw();
  }

  #resize() {
    for (const { plot, figure } of this.#plots) {
      if (plot.width !== figure.clientWidth) plot.setSize({ width: figure.clientWidth, height: HEIGHT });
    }
  }

  /** Add a point. A daemon that was started anew begins at zero again, which is no negative rate. */
  add({ seconds, totals }, rtt) {
    const last = this.#last;
    this.#last = { seconds, totals };
    if (last === null || seconds <= last.seconds) return;
    const rate = (name) => Math.max(0, totals[name] - last.totals[name]) / (seconds - last.seconds);
    for (const plot of this.#plots) plot.add(Date.now() / 1000, plot.values(rate, rtt));
  }
}
