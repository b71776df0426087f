// The desk: questions that wait, a reply for each, and who answered first.

import { command, hasToken } from "./daemon.js";
import { byId, element, limitChildren, setText } from "./dom.js";
import { daemonText, text } from "./language.js";

const MAX_SHOWN = 200, MAX_SETTLED = 20;

export class Desk {
  #shown = new Map();
  /** The events of pending questions beyond those shown, the oldest first. */
  #more = new Map();
  #stream;
  #announce;

  constructor(announce) {
    this.#announce = announce;
    byId("present").disabled = !hasToken;
    byId("present").addEventListener("click", () => {
      this.#stream.setPresent(!this.#stream.present);
      this.#showPresence();
    });
  }

  use(stream) {
    this.#stream = stream;
    this.#showPresence();
  }

  #showPresence() {
    byId("present").setAttribute("aria-pressed", this.#stream.present);
    const hint = !hasToken ? "Open the link of `echotime control token` to answer."
      : this.#stream.present ? "Clients wait for your replies. Enter sends a reply."
        : "While no operator answers, clients get the default reply.";
    setText(byId("desk-hint"), text(hint));
  }

  /** Forget all questions: a new stream begins with those that are pending. */
  clear() {
    this.#shown.clear();
    this.#more.clear();
    byId("questions").replaceChildren();
  }

  asked(question) {
    const { number, peer, message } = question;
    if (this.#shown.size >= MAX_SHOWN) {
      this.#more.set(number, question);
      return;
    }
    const reply = element("input", { autocomplete: "off", spellcheck: false, enterKeyHint: "send" });
    reply.setAttribute("aria-label", text("reply to {number} of {peer}", { number, peer }));
    const error = element("p", { className: "bad" });
    const form = element("form", {}, reply, element("button", { type: "submit" }, text("Send")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await command("answer", { number, reply: reply.value, raw: byId("raw").checked });
      } catch (failure) {
        setText(error, daemonText(failure.message));
      }
    });
    const shown = element("li", {}, element("div", {}, `${number} · ${peer}`),
      element("div", { className: "message", dir: "auto" }, message), form, error);
    this.#shown.set(number, shown);
    byId("questions").append(shown);
    this.#announce(text("question {number} of {peer}: {text}", { number, peer, text: message }));
    if (document.activeElement === document.body || document.activeElement === byId("present")) reply.focus();
  }

  settled({ number, peer, how }) {
    const shown = this.#shown.get(number);
    const focused = shown?.contains(document.activeElement);
    this.#shown.delete(number);
    this.#more.delete(number);
    shown?.remove();
    const [next] = this.#more.values();
    if (shown && next) {
      this.#more.delete(next.number);
      this.asked(next);
    }
    if (focused) (byId("questions").querySelector("input") ?? byId("present")).focus();
    const line = text("question {number} of {peer}: {text}", { number, peer, text: daemonText(how) });
    byId("settled").prepend(element("li", {}, line));
    limitChildren(byId("settled"), MAX_SETTLED);
    this.#announce(line);
  }
}
