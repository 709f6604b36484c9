// Idle lock: the session locks itself; the page keeps it awake while somebody works, warns before, and leaves after.
//
// Nothing that was typed is kept on this machine: a draft would be a patient's data on a shared terminal.

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

  function leave() {
    location.replace(`/login?locked=1&next=${encodeURIComponent(location.pathname)}`);
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
    if (seconds <= 0) leave();
    else if (seconds <= warn) {
      left.textContent = String(seconds);
      if (!dialog.open) dialog.showModal();
    } else if (dialog.open) dialog.close();
  }, 1000);
}
