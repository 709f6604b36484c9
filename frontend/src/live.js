// The session's stream to this page (server-sent events): lock now, gone elsewhere, send what is typed, a message, the end is near.

import { cover, isCovered, leave } from "./cover.js";
import { keepAll } from "./drafts.js";
import { stream } from "./unaided.js";

const AGAIN_MILLISECONDS = 3000;

function on(source, name, what) {
  source.addEventListener(name, (event) => what(JSON.parse(event.data)));
}

function post(path, body = {}) {
  return fetch(path, { method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body), credentials: "same-origin", redirect: "manual" });
}

let source = null;

/** This page itself locks or signs out, and knows where it goes. */
export function quit() {
  source?.close();
  source = null;
}

export function live() {
  if (!document.getElementById("notices")) return;
  source = stream("/session/live");
  on(source, "lock", () => leave());
  on(source, "moved", ({ where, at }) => {
    quit();
    cover("moved", { where, at: new Date(at).toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" }) });
  });
  on(source, "end", ({ why }) => {
    quit();
    if (why === "signed-out") location.replace("/login");
    else cover(document.getElementById("curtain")?.content.querySelector(`[data-cover="${CSS.escape(why)}"]`) ? why : "ended");
  });
  on(source, "save", () => keepAll().finally(() => post("/session/saved")));
  on(source, "message", show);
  on(source, "ends", ({ seconds }) => countDown(seconds));
  on(source, "look", ({ what }) => document.body.dispatchEvent(new CustomEvent(`look-${what}`)));
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED || isCovered()) return; // it comes back by itself
    check();
    setTimeout(live, AGAIN_MILLISECONDS);
  });
  addEventListener("pagehide", quit);
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // brought back from the browser's memory
}

/** Where the stream was refused: a page whose ticket has ended leaves; a server that is being restarted is waited for. */
async function check() {
  const response = await fetch("/session/state", { headers: { accept: "application/json" }, credentials: "same-origin", cache: "no-store", redirect: "manual" }).catch(() => null);
  if (response && (response.status === 401 || response.status === 421)) leave();
}

function show({ id, text, sender, at, urgent }) {
  if (document.getElementById(`notice-${id}`)) return;
  const box = document.getElementById("notice").content.cloneNode(true).firstElementChild;
  box.id = `notice-${id}`;
  box.classList.toggle("urgent", Boolean(urgent));
  box.querySelector("[data-text]").textContent = text[document.documentElement.lang] ?? Object.values(text)[0];
  box.querySelector("[data-sender]").textContent = `${sender}, ${new Date(at).toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" })}`;
  box.querySelector("button").addEventListener("click", () => {
    post("/session/seen", { id }).catch(() => undefined); // not told: it is shown once more
    box.remove();
  });
  document.getElementById("notices").append(box);
}

let counting = 0;
function countDown(seconds) {
  const box = document.getElementById("ends");
  const until = Date.now() + seconds * 1000;
  clearInterval(counting);
  const tick = () => {
    const left = Math.max(0, Math.round((until - Date.now()) / 1000));
    box.querySelector("[data-left]").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  };
  tick();
  box.hidden = false;
  counting = setInterval(tick, 1000);
}
