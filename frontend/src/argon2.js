// Starts the worker early (while the person still types) and asks it once per attempt.
//
// A worker's script cannot carry an integrity attribute, so it is fetched with its digest first; the worker then loads the
// same immutable address. Both stand on the page's own script element, whose integrity the browser has checked.

import { fromBase64, fromBase64Url } from "./bytes.js";
import { Failure, checkCost } from "./keys.js";

const { worker: place, workerIntegrity: integrity } = document.currentScript.dataset;

async function start() {
  const response = await fetch(place, { integrity, credentials: "same-origin" });
  if (!response.ok) throw new Failure("no-worker");
  await response.arrayBuffer(); // the digest is checked at the end of the body
  return new Worker(place);
}

export class Argon2 {
  constructor() {
    this.worker = start();
    this.worker.catch(() => {}); // said when it is needed
  }

  /** The root secret of a passphrase. `cost` comes from the door and must not be under the floor. */
  async root(passphrase, cost) {
    checkCost(cost);
    const worker = await this.worker.catch(() => {
      throw new Failure("no-worker");
    });
    const password = new TextEncoder().encode(passphrase.normalize("NFKC"));
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.root ? resolve(data.root) : reject(new Failure("derivation", { detail: data.fault })));
      worker.onerror = () => reject(new Failure("no-worker"));
      worker.postMessage({ ...cost, password, salt: salt(cost.salt) }, [password.buffer]);
    });
  }
}

/** The salt is 16 bytes: as hex (32 letters) or base64. */
function salt(text) {
  if (/^[0-9a-f]{32}$/i.test(text)) return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  return /[-_]/.test(text) ? fromBase64Url(text) : fromBase64(text);
}
