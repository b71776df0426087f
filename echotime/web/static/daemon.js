// Talk to the daemon: JSON requests, and the event stream by fetch, because EventSource cannot send the token.

const PREFIX = "#token=";
const FIRST_DELAY = 500, LAST_DELAY = 10000;

// kept for a reload of this tab, and out of the address bar, which may be on a projector
if (location.hash.startsWith(PREFIX)) {
  sessionStorage.setItem("token", location.hash.slice(PREFIX.length));
  history.replaceState(null, "", location.pathname);
}
const token = sessionStorage.getItem("token");
const authorization = token ? { Authorization: `Bearer ${token}` } : {};

export const hasToken = Boolean(token);

function post(fields, signal) {
  const headers = { ...authorization, "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(fields), signal };
}

async function request(path, init) {
  const response = await fetch(`/api/${path}`, { cache: "no-store", ...init });
  if (response.ok) return response;
  const text = await response.text();
  let reason = text;
  try { reason = JSON.parse(text).error ?? text; } catch { /* a proxy's own answer */ }
  throw new Error(reason.trim() || `${response.status} ${response.statusText}`);
}

export const query = async (path, args = {}) =>
  (await request(`${path}?${new URLSearchParams(args)}`, { headers: authorization })).json();

export const command = async (path, fields) => (await request(path, post(fields))).json();

/** Keep one event stream open. `onEvent(name, fields)` gets each event, `onState(error)` each start and end. */
export class EventStream {
  #control = new AbortController();
  #delay = FIRST_DELAY;

  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.present = false;
    this.#run();
  }

  /** Be present as an operator, or only watch. */
  setPresent(present) {
    this.present = present;
    this.#delay = 0;
    this.#control.abort();
  }

  async #run() {
    for (;;) {
      try {
        this.#control = new AbortController();
        await this.#read(this.#control.signal);
        this.onState(new Error("closed"));
      } catch (error) {
        if (error.name !== "AbortError") this.onState(error);
      }
      await new Promise((resolve) => setTimeout(resolve, this.#delay));
      this.#delay = Math.min(LAST_DELAY, Math.max(FIRST_DELAY, 2 * this.#delay));
    }
  }

  async #read(signal) {
    const init = this.present ? post({}, signal) : { headers: authorization, signal };
    const response = await request("events", init);
    this.#delay = FIRST_DELAY;
    this.onState(null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(event);
        this.onEvent(name, JSON.parse(data));
      }
    }
  }
}
