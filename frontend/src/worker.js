// The service worker: every request of our own pages to the session goes out with a proof by this browser's key.
//
// So a page, a form and a script's call are proven alike, and the cookie alone opens nothing. What another site causes is
// left alone (it would otherwise lose its mark of coming from elsewhere): only a page of ours may be the one that asks.

import { doors, proven } from "./proof.js";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin || doors(url.pathname)) return;
  if (request.headers.has("dpop") || request.headers.has("authorization")) return;
  if (request.mode === "navigate" && !ours(request.referrer)) return;
  event.respondWith(proven(request, fetch));
});

function ours(referrer) {
  return referrer.startsWith(`${self.location.origin}/`);
}
