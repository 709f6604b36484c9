// Starts the worker early (while the person still types) and asks it once per attempt.

import source from "worker:./argon2.worker.js";
import { Failure, checkCost } from "./keys.js";
import { fromBase64, fromBase64Url } from "./bytes.js";

export class Argon2 {
  constructor() {
    const place = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(place);
    this.worker.addEventListener("error", () => (this.broken = true));
    URL.revokeObjectURL(place);
  }

  /** The root secret of a passphrase. `cost` comes from the door and must not be under the floor. */
  root(passphrase, cost) {
    checkCost(cost);
    const password = new TextEncoder().encode(passphrase.normalize("NFKC"));
    return new Promise((resolve, reject) => {
      if (this.broken) reject(new Failure("no-worker"));
      this.worker.onmessage = ({ data }) => (data.root ? resolve(data.root) : reject(new Failure("derivation", { detail: data.fault })));
      this.worker.onerror = () => reject(new Failure("no-worker"));
      this.worker.postMessage({ ...cost, password, salt: salt(cost.salt) }, [password.buffer]);
    });
  }
}

/** The salt is 16 bytes: as hex (32 letters) or base64. */
function salt(text) {
  if (/^[0-9a-f]{32}$/i.test(text)) return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  return /[-_]/.test(text) ? fromBase64Url(text) : fromBase64(text);
}
