// For pages: the service worker that proves every request is there before the first page of the session is asked for.

import { Failure } from "./keys.js";
import { kept } from "./proof.js";

const SECONDS_MAX = 10;

/** Whether this browser could ever be bound: it has workers, cryptography, and a place to keep a key (a private window may have none). */
export async function bindable() {
  if (!navigator.serviceWorker || !window.indexedDB || !window.crypto?.subtle) return false;
  return kept("key").then(() => true, () => false);
}

/** Resolves when the worker stands; a browser without one cannot be bound, and is told so. */
export async function worker() {
  if (!(await bindable())) throw new Failure("no-binding");
  try {
    await navigator.serviceWorker.register("/proof.js", { scope: "/", updateViaCache: "none" });
  } catch (fault) {
    throw new Failure("no-binding", { detail: String(fault) });
  }
  const late = new Promise((_, refuse) => setTimeout(() => refuse(new Failure("no-binding", { detail: "late" })), SECONDS_MAX * 1000));
  await Promise.race([navigator.serviceWorker.ready, late]);
}
