// The key that this browser is bound by, and proofs made with it (RFC 9449, ES256). The key cannot be taken out of the
// browser (WebCrypto, not extractable); it lies in IndexedDB, and every sign-in makes a new one.

import { toBase64Url } from "./bytes.js";

const text = new TextEncoder();
const json = (value) => toBase64Url(text.encode(JSON.stringify(value)));

/** A new pair of keys, in memory until `keep`. */
export async function newKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  return { private: pair.privateKey, jwk: { kty, crv, x, y } };
}

/** One proof for one request; `address` without query and fragment. */
export async function proof(key, method, address, nonce) {
  const head = json({ typ: "dpop+jwt", alg: "ES256", jwk: key.jwk });
  const jti = toBase64Url(crypto.getRandomValues(new Uint8Array(12)));
  const claims = { jti, htm: method, htu: address, iat: Math.floor(Date.now() / 1000), ...(nonce ? { nonce } : {}) };
  const signed = `${head}.${json(claims)}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.private, text.encode(signed));
  return `${signed}.${toBase64Url(signature)}`;
}

const DOORS = /^\/(login|enrol|oauth2|static|\.well-known|proof\.js|favicon\.ico)(\/|$)/;

/** Whether the door answers there, which asks for no ticket. */
export const doors = (pathname) => DOORS.test(pathname);

export function addressOf(url) {
  const { origin, pathname } = new URL(url, self.location.href);
  return origin + pathname;
}

// --- what is kept: {key, nonce} --------------------------------------------------------------------------

function opened() {
  return new Promise((done, failed) => {
    const request = indexedDB.open("cloister", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("bound");
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

async function transact(mode, act) {
  const database = await opened();
  try {
    return await new Promise((done, failed) => {
      const transaction = database.transaction("bound", mode);
      const request = act(transaction.objectStore("bound"));
      transaction.oncomplete = () => done(request.result);
      transaction.onabort = transaction.onerror = () => failed(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const kept = (name) => transact("readonly", (store) => store.get(name));
export const keep = (name, value) => transact("readwrite", (store) => store.put(value, name));

// --- a request with its proof ------------------------------------------------------------------------------

export async function learn(nonce) {
  if (nonce && nonce !== (await kept("nonce"))) await keep("nonce", nonce);
}

/** The answer to a request of ours, which `send` (a fetch) sends with a proof; as it is where there is no key. */
export async function proven(request, send) {
  const key = await kept("key").catch(() => null);
  if (!key) return send(request);
  const body = ["GET", "HEAD"].includes(request.method) ? undefined : await request.arrayBuffer();
  const once = async (method, address, content) => {
    const headers = new Headers(request.headers);
    headers.set("dpop", await proof(key, method, addressOf(address), await kept("nonce")));
    const mode = request.mode === "navigate" ? "same-origin" : request.mode;
    const options = { method, headers, body: content, mode, credentials: "same-origin", cache: request.cache, redirect: request.redirect, keepalive: request.keepalive, signal: request.signal };
    const answer = await send(address, options);
    await learn(answer.headers.get("dpop-nonce"));
    return answer;
  };
  const answer = await once(request.method, request.url, body);
  if (answer.status !== 401 || !answer.headers.get("dpop-nonce")) return answer;
  // A new nonce, or a redirect that was followed with the proof of the page before: once more, with what is known now.
  return answer.redirected ? once("GET", answer.url) : once(request.method, request.url, body);
}
