// Idle lock: the session locks itself; the page keeps it awake while somebody works, warns before, and leaves after.
//
// Nothing that was typed is kept on this machine: the session keeps it (drafts.js).

import { isCovered, leave } from "./cover.js";
import { quiet } from "./quiet.js";

const WARN_SECONDS = 60;
const TOUCH_SECONDS = 45; // at most this often does work on the page become a call

export function watch() {
  const limit = Number(document.body.dataset.idleSeconds || 0);
  const dialog = document.getElementById("idle");
  if (!limit || !dialog) return;
  const left = document.getElementById("idle-left");
  const warn = Math.min(WARN_SECONDS, limit / 2);
  let contact = Date.now(); // when the session last heard of us
  let asking = false;

  async function touch() {
    if (asking) return;
    asking = true;
    try {
      const response = await fetch("/here", { headers: { accept: "application/json" }, credentials: "same-origin", cache: "no-store", redirect: "manual" });
      if (response.status === 401 || response.status === 421 || response.type === "opaqueredirect") leave();
      else if (response.ok) contact = Date.now();
    } catch {
      // The network is away; the clock goes on, and the session locks by itself.
    } finally {
      asking = false;
    }
  }

  /** Another page of this session may be in use: the session knows how long it waits. */
  async function agree() {
    if (asking) return;
    asking = true;
    try {
      const response = await fetch("/session/state", { headers: { accept: "application/json" }, credentials: "same-origin", cache: "no-store", redirect: "manual" });
      const said = response.ok ? await response.json() : { state: "gone" };
      if (said.state !== "active" || said.idle_seconds_left <= 0) leave();
      else contact = Date.now() - (limit - said.idle_seconds_left) * 1000;
    } catch {
      leave();
    } finally {
      asking = false;
    }
  }

  function worked() {
    if (dialog.open) return;
    if (Date.now() - contact > Math.min(TOUCH_SECONDS, limit / 4) * 1000) touch();
  }

  for (const kind of ["keydown", "pointerdown", "scroll", "input"]) document.addEventListener(kind, worked, { passive: true, capture: true });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (!quiet(event)) contact = Date.now();
  });
  dialog.addEventListener("close", touch);
  setInterval(() => {
    const seconds = Math.ceil((contact + limit * 1000 - Date.now()) / 1000);
    if (isCovered()) return;
    if (seconds <= 0) agree();
    else if (seconds <= warn) {
      left.textContent = String(seconds);
      if (!dialog.open) dialog.showModal();
    } else if (dialog.open) dialog.close();
  }, 1000);
}
