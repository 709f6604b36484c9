// A session that a card opened ends with the card: pulled out, or its agent gone, this page locks the session and leaves.
//
// One of a browser's pages asks (Web Locks), so that many tabs do not use up the connections to the agent; the others hear of it.

import { agent } from "./card.js";
import { because, leave as toSignIn } from "./cover.js";

const RETRY_MILLISECONDS = 300;

export function watchCard() {
  const key = document.body.dataset.card;
  if (!key) return;
  const channel = new BroadcastChannel("cloister-card");
  let leaving = false;

  function leave() {
    leaving = true;
    toSignIn("card");
  }

  async function lock() {
    if (leaving) return;
    leaving = true;
    because("card");
    channel.postMessage("locked");
    const options = { method: "POST", headers: { accept: "application/json" }, credentials: "same-origin", redirect: "manual", keepalive: true };
    await fetch("/session/lock", options).catch(() => {}); // the network is away: the session locks by itself when it is idle
    leave();
  }

  const stays = () => agent(`/stays?key=${key}`).then((said) => said.stays);
  const pause = () => new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));

  async function ask() {
    while (!leaving) {
      const there = await stays().catch(() => pause().then(() => leaving || stays().catch(() => false)));
      if (!there) await lock();
    }
  }

  addEventListener("pagehide", () => (leaving = true)); // a page that is left asks no more, and its calls fail
  channel.addEventListener("message", leave);
  navigator.locks.request("cloister-card", ask);
}
