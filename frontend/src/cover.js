// The screen after this page's session has locked, ended or gone to another terminal: what was shown is removed at once,
// before anything is asked of the network, and a sentence says why.

let covered = false;
let left = false;
let known = "1";

export function cover(kind, place = {}) {
  if (covered) return;
  covered = true;
  const template = document.getElementById("curtain");
  if (!template) return leave();
  const curtain = template.content.cloneNode(true).firstElementChild;
  for (const element of document.querySelectorAll("dialog[open]")) element.close();
  // Removed, not hidden: nobody finds it in the page afterwards.
  document.body.replaceChildren(curtain);
  document.title = curtain.dataset.title;
  for (const text of curtain.querySelectorAll("[data-cover]")) text.hidden = text.dataset.cover !== kind;
  for (const slot of curtain.querySelectorAll("[data-slot]")) slot.textContent = place[slot.dataset.slot] ?? "";
  const button = curtain.querySelector("button");
  button.addEventListener("click", goOn);
  button.focus();
}

export function isCovered() {
  return covered;
}

/** Why this page is about to be left, for whoever leaves it without knowing. */
export function because(why) {
  known = why;
}

/** To the sign-in, and from there back to this page. The first reason stands: what answers 401 afterwards does not replace it. */
export function leave(why = known) {
  if (left) return;
  covered = left = true;
  location.replace(`/login?locked=${why}&next=${encodeURIComponent(location.pathname)}`);
}

/** In a browser whose other tab signed in again, this page may simply go on; else the sign-in. */
async function goOn() {
  try {
    const response = await fetch("/session/state", { headers: { accept: "application/json" }, credentials: "same-origin", cache: "no-store", redirect: "manual" });
    if (response.ok && (await response.json()).state === "active") return location.reload();
  } catch {
    // The network is away: the sign-in page will say so.
  }
  leave();
}
