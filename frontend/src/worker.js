// The service worker: every request of our own pages to the session goes out with a proof by this browser's key.
//
// So a page, a form and a script's call are proven alike, and the cookie alone opens nothing. What another site causes is
// left alone (it would otherwise lose its mark of coming from elsewhere): only a page of ours may be the one that asks.

import { addressOf, doors, keep, kept, proof } from "./proof.js";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin || doors(url.pathname)) return;
  if (request.headers.has("dpop") || request.headers.has("authorization")) return;
  if (request.mode === "navigate" && !ours(request.referrer)) return;
  event.respondWith(proven(request));
});

function ours(referrer) {
  return referrer.startsWith(`${self.location.origin}/`);
}

async function proven(request) {
  const key = await kept("key");
  if (!key) return fetch(request);
  const body = ["GET", "HEAD"].includes(request.method) ? undefined : await request.arrayBuffer();
  const send = async (method, address, content) => {
    const headers = new Headers(request.headers);
    headers.set("dpop", await proof(key, method, addressOf(address), await kept("nonce")));
    const mode = request.mode === "navigate" ? "same-origin" : request.mode;
    const options = { method, headers, body: content, mode, credentials: "same-origin", cache: request.cache, redirect: request.redirect, keepalive: request.keepalive, signal: request.signal };
    const answer = await fetch(address, options);
    const nonce = answer.headers.get("dpop-nonce");
    if (nonce && nonce !== (await kept("nonce"))) await keep("nonce", nonce);
    return answer;
  };
  const answer = await send(request.method, request.url, body);
  if (answer.status !== 401 || !answer.headers.get("dpop-nonce")) return answer;
  // A new nonce, or a redirect that was followed with the proof of the page before: once more, with what is known now.
  return answer.redirected ? send("GET", answer.url) : send(request.method, request.url, body);
}
