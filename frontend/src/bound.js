// For pages: the service worker that proves every request is there before the first page of the session is asked for. Where a browser
// admits none (its certificate was accepted by hand), the pages prove by themselves what they ask for: unaided.js.

import { Failure } from "./keys.js";
import { kept } from "./proof.js";

const SECONDS_MAX = 10;

/** Whether this browser could ever be bound: it has cryptography, and a place to keep a key (a private window may have none). */
export async function bindable() {
  if (!window.indexedDB || !window.crypto?.subtle) return false;
  return kept("key").then(() => true, () => false);
}

/** Whether the worker stands; Failure where this browser can keep no key. */
export async function worker() {
  if (!(await bindable())) throw new Failure("no-binding");
  if (!navigator.serviceWorker) return false;
  try {
    await navigator.serviceWorker.register("/proof.js", { scope: "/", updateViaCache: "none" });
  } catch {
    return false;
  }
  const late = new Promise((done) => setTimeout(() => done(false), SECONDS_MAX * 1000));
  return Promise.race([navigator.serviceWorker.ready.then(() => true), late]);
}
