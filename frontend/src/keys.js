// The browser's part of unlocking, docs/spec/zones.md "Unlockers": key derivation and the sealed unlock message.
//
// HKDF is WebCrypto's. HPKE (RFC 9180, base mode) is MLKEM768-X25519 (KEM 0x647a), HKDF-SHA256, AES-256-GCM.
// Nothing here is stored: the passphrase and the derived keys live until the page is left.

import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import { fromBase64, toBase64 } from "./bytes.js";

// RFC 9106 section 4, second recommended option, as the floor: a server that asks for less is not obeyed.
export const FLOOR = { passes: 3, memory_kib: 65536, lanes: 4 };
export const CEILING = { passes: 16, memory_kib: 1048576, lanes: 16 };

const text = new TextEncoder();

export async function hkdf(key, label) {
  const material = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: text.encode(label) };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, material, 256));
}

export function checkCost(cost) {
  for (const name of Object.keys(FLOOR)) {
    if (!(cost[name] >= FLOOR[name] && cost[name] <= CEILING[name])) throw new Failure("weak-parameters");
  }
}

/** The key-encryption key, which goes only to the session, and the verifier, which proves the person at the door. */
export async function passphraseSecrets(root) {
  return { kek: await hkdf(root, "cloister/unlock/v1/passphrase"), verifier: await hkdf(root, "cloister/verify/v1/passphrase") };
}

export async function passkeyKek(prf) {
  return hkdf(prf, "cloister/unlock/v1/passkey");
}

/** What POST /session/unlock takes: the key-encryption key, sealed so that only this session's process can open it. */
export async function sealToSession(kek, session, publicKey) {
  return seal(kek, `cloister/session-unlock/v1|${session}`, publicKey);
}

/** What POST /account/passkeys and /account/cards take: the passphrase's key and the new way's key, sealed for this one enrolment. */
export async function sealEnrolment(present, fresh, flow, publicKey) {
  const both = new Uint8Array(present.length + fresh.length);
  both.set(present, 0);
  both.set(fresh, present.length);
  return seal(both, `cloister/enrol/v1|${flow}`, publicKey);
}

/** What a party of a recovery hands to its own session: sealed, so that nobody on the way can use or keep it. */
export async function sealFor(plain, info, publicKey) {
  return seal(plain, info, publicKey);
}

async function seal(plain, label, publicKey) {
  const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(fromBase64(publicKey).buffer);
  const { enc, ct } = await suite.seal({ recipientPublicKey, info: text.encode(label) }, plain);
  const sealed = new Uint8Array(enc.byteLength + ct.byteLength);
  sealed.set(new Uint8Array(enc), 0);
  sealed.set(new Uint8Array(ct), enc.byteLength);
  plain.fill(0);
  return toBase64(sealed);
}

/** A failure with a name; the page has the sentence for it in the person's language. */
export class Failure extends Error {
  constructor(reason, { seconds = 0, detail = "" } = {}) {
    super(reason);
    this.reason = reason;
    this.seconds = seconds;
    this.detail = detail;
  }
}
