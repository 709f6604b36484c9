// A page that no service worker helps proves by itself what it asks for: where a certificate was accepted by hand (browsers then refuse a
// worker), in some private windows, after a reload past the worker.
//
// What a script asks for carries its proof. What the browser sends alone, a link or a form, can carry none: the page first asks for a pass
// by a proven request, and the session takes it once, at once, for that method and address (server/passes.py).

import { addressOf, doors, kept, learn, proof, proven } from "./proof.js";

const NONCE_MILLISECONDS = 60_000; // then it is asked for anew before a request that cannot be sent twice
const AGAIN = { headers: { accept: "application/json", "x-quiet": "1" }, credentials: "same-origin", cache: "no-store", redirect: "manual" };

const plain = window.fetch.bind(window);
const helped = () => Boolean(navigator.serviceWorker?.controller);
const own = (address) => address.origin === location.origin && !doors(address.pathname);
let learned = 0; // when the session's nonce was last told

async function told(asked, options) {
  const answer = await plain(asked, options);
  if (answer.headers.get("dpop-nonce")) learned = Date.now();
  return answer;
}

window.fetch = async (asked, options) => {
  if (helped()) return plain(asked, options);
  const request = new Request(asked, options);
  const itself = request.headers.has("dpop") || request.headers.has("authorization");
  return itself || !own(new URL(request.url)) ? plain(asked, options) : proven(request, told);
};

// --- htmx's requests (XMLHttpRequest) ----------------------------------------------------------------------

const { open, send, abort } = XMLHttpRequest.prototype;
Object.assign(XMLHttpRequest.prototype, {
  open(method, url, ...rest) {
    this.asked = { method: method.toUpperCase(), url: new URL(url, location.href), given: false };
    return open.call(this, method, url, ...rest);
  },
  async send(body) {
    const key = helped() || !own(this.asked.url) ? null : await kept("key").catch(() => null);
    if (key) {
      if (Date.now() - learned > NONCE_MILLISECONDS) await window.fetch("/session/state", AGAIN).catch(() => null);
      this.setRequestHeader("dpop", await proof(key, this.asked.method, addressOf(this.asked.url), await kept("nonce")));
      this.addEventListener("load", () => {
        learned = Date.now();
        learn(this.getResponseHeader("dpop-nonce"));
      });
    }
    if (!this.asked.given) send.call(this, body);
  },
  abort() {
    if (this.asked) this.asked.given = true; // up before it was sent
    return abort.call(this);
  },
});

// --- links and forms ---------------------------------------------------------------------------------------

/** Once it resolves, the browser may go there; where no pass is to be had, it makes the detour of a page without proof. */
export async function pass(method, url) {
  const { pathname } = new URL(url, location.href);
  const body = JSON.stringify({ method, path: pathname });
  const headers = { "content-type": "application/json", accept: "application/json" };
  await window.fetch("/session/pass", { method: "POST", headers, body, credentials: "same-origin", redirect: "manual" }).catch(() => null);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const elsewhere = event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || (link?.target && link.target !== "_self");
  if (!link || helped() || event.defaultPrevented || elsewhere) return;
  const there = new URL(link.href);
  if (!own(there) || (there.hash && there.href.split("#")[0] === location.href.split("#")[0])) return;
  event.preventDefault();
  pass("GET", link.href).then(() => location.assign(link.href));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter;
  const action = button?.hasAttribute("formaction") ? button.formAction : new URL(form.getAttribute("action") ?? "", location.href).href;
  if (helped() || event.defaultPrevented || !own(new URL(action))) return;
  event.preventDefault();
  if (button?.name) {
    const word = Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value });
    form.append(word);
  }
  form.setAttribute("action", action);
  const method = (button?.getAttribute("formmethod") ?? form.getAttribute("method") ?? "get").toUpperCase();
  pass(method, action).then(() => HTMLFormElement.prototype.submit.call(form));
});

// --- the session's stream ----------------------------------------------------------------------------------

/** Server-sent events (HTML, 9.2) by a request that can carry a proof: as much of EventSource as live.js asks for. */
class Stream extends EventTarget {
  readyState = EventSource.CONNECTING;
  #stopped = new AbortController();

  constructor(path) {
    super();
    this.#read(path).catch(() => undefined).finally(() => {
      if (this.readyState === EventSource.CLOSED) return;
      this.readyState = EventSource.CLOSED;
      this.dispatchEvent(new Event("error"));
    });
  }

  close() {
    this.readyState = EventSource.CLOSED;
    this.#stopped.abort();
  }

  async #read(path) {
    const answer = await window.fetch(path, { ...AGAIN, headers: { accept: "text/event-stream" }, signal: this.#stopped.signal });
    if (!answer.ok) return;
    this.readyState = EventSource.OPEN;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = "", end; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      for (text += value; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) this.#tell(text.slice(0, end));
    }
  }

  #tell(block) {
    const fields = block.split("\n").map((line) => line.match(/^(event|data): ?(.*)$/)).filter(Boolean);
    const of = (name) => fields.filter(([, field]) => field === name).map(([, , value]) => value).join("\n");
    if (of("data")) this.dispatchEvent(new MessageEvent(of("event") || "message", { data: of("data") }));
  }
}

export const stream = (path) => (helped() ? new EventSource(path) : new Stream(path));
