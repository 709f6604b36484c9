// A smartcard, through the agent of this workstation (docs/cards.md): the agent asks for the PIN, the card does one operation,
// and this page gets the half that the card gives for this one unlocker. No PIN ever comes here.
//
// docs/spec/zones.md 5.1. The door's offers are opened with the inserted card's own key name: a stranger's page learns nothing.

import { fromBase64 } from "./bytes.js";
import { Failure, hkdf } from "./keys.js";

export const AGENT = "http://127.0.0.1:27443/card/v1";
const OFFER = new TextEncoder().encode("cloister/card/v1/offer");
const NONCE_BYTES = 12;
// The agent's reasons that have a sentence of their own; any other is the agent's own trouble.
const SAID = ["no-card", "no-certificate", "other-card", "card-expired", "card-pulled", "card-blocked", "card-broken", "card-no-room"];
const RENAMED = { origin: "agent-origin", busy: "agent-busy", "no-prompt": "agent-no-prompt" };

export async function agent(path, body) {
  const options = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {};
  let response;
  try {
    response = await fetch(AGENT + path, { ...options, mode: "cors", credentials: "omit", cache: "no-store" });
  } catch {
    throw new Failure((await forbidden()) ? "agent-permission" : "agent-missing");
  }
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  const reason = String(said.error);
  const known = SAID.includes(reason) || reason.startsWith("wrong-pin") || reason === "pin-cancelled";
  throw new Failure(known ? reason : (RENAMED[reason] ?? "agent-fault"), { detail: reason });
}

/** Whether this browser was told not to let this page speak to this computer (Local Network Access, Chromium 142). */
async function forbidden() {
  const state = (name) => navigator.permissions.query({ name }).then((found) => found.state, () => ""); // a browser without that question
  return (await Promise.all([state("loopback-network"), state("local-network-access")])).includes("denied");
}

/** The names of the keys on the inserted cards. */
export async function insertedKeys() {
  const { cards, keys } = await agent("/state");
  if (!cards) throw new Failure("no-card");
  if (!keys.length) throw new Failure("no-certificate");
  return keys;
}

/** The unlocker that one of these keys opens, of those that the door offers for a name. */
export async function offered(offers, keys) {
  for (const name of keys) {
    const raw = await hkdf(fromHex(name), "cloister/card/v1/offer");
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]);
    for (const offer of offers.map(fromBase64)) {
      const algorithm = { name: "AES-GCM", iv: offer.slice(0, NONCE_BYTES), additionalData: OFFER };
      const plain = await crypto.subtle.decrypt(algorithm, key, offer.slice(NONCE_BYTES)).catch(() => null);
      if (plain) return JSON.parse(new TextDecoder().decode(plain));
    }
  }
  throw new Failure("other-card");
}

/** The card's half of an unlocker: {unlocker, person, params}. */
export async function cardHalf({ unlocker, person, params }) {
  const { half } = await agent("/unlock", { trust: params.trust, person, unlocker, params });
  return fromBase64(half);
}

/** A new unlocker's parameters and half, by the best that the inserted card can do. */
export async function newCard({ unlocker, person, trust }) {
  const { params, half, name } = await agent("/enrol", { trust, person, unlocker });
  return { params, half: fromBase64(half), name };
}

/** A card that only signs opens nothing without its passphrase; `passphraseRoot` derives that. */
export async function cardSecrets(half, params, passphraseRoot) {
  const root = params.profile === "c" ? await withPassphrase(half, await passphraseRoot(costOf(params))) : half;
  return { kek: await hkdf(root, "cloister/unlock/v1/card"), verifier: await hkdf(root, "cloister/verify/v1/card") };
}

const costOf = ({ salt, passes, memory_kib, lanes }) => ({ salt, passes, memory_kib, lanes });

async function withPassphrase(half, root) {
  const both = new Uint8Array(64);
  both.set(half, 0);
  both.set(root, 32);
  return hkdf(both, "cloister/card/v1/with-passphrase");
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
