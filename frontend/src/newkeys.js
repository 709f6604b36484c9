// New keys, docs/spec/zones.md 5, 6, 19: two seeds sealed under a random unlock key, the unlock key wrapped by each unlocker,
// and a signature over all of it. Python's twin is src/cloister/offices/applying.py.

import { XWing } from "@hpke/hybridkem-x-wing";
import { fromBase64Url, toBase64 } from "./bytes.js";
import { encoded, join, packed } from "./cbor.js";
import { Failure, hkdf } from "./keys.js";
import { WORDS } from "./wordlist.js";

const text = new TextEncoder();
const ED25519 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]); // RFC 8410: PKCS #8 before the seed
const FINGERPRINT_WORDS = 7;

const random = (length) => crypto.getRandomValues(new Uint8Array(length));

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** nonce (12) | ciphertext | tag (16) */
async function aead(key, plain, additionalData) {
  const iv = random(12);
  const imported = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  return join(iv, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, imported, plain)));
}

async function signing(seed) {
  try {
    const key = await crypto.subtle.importKey("pkcs8", join(ED25519, seed), "Ed25519", true, ["sign"]);
    const { x } = await crypto.subtle.exportKey("jwk", key);
    return { key, publicKey: fromBase64Url(x) };
  } catch (fault) {
    throw new Failure("browser-too-old", { detail: fault.name });
  }
}

/** A person's new keys. `wrap` may be called until `finish`, which forgets everything. */
export async function newKeys(person) {
  const kemSeed = random(32);
  const signSeed = random(32);
  const unlockKey = random(32);
  const kem = new XWing();
  const pair = await kem.generateKeyPairDerand(kemSeed.slice());
  const kemPublic = new Uint8Array(await kem.serializePublicKey(pair.publicKey));
  const sign = await signing(signSeed);
  const commitment = await hkdf(unlockKey, "cloister/bundle/v1/commitment");
  const under = await hkdf(unlockKey, "cloister/bundle/v1/seal");
  const sealedPrivate = join(commitment, await aead(under, join(kemSeed, signSeed), packed("cloister/bundle/v1", person)));
  const rows = [];

  return {
    kemPublic,
    signPublic: sign.publicKey,

    /** Wraps the unlock key under one unlocker's key-encryption key; a card's was made for this `id`. */
    async wrap(kek, kind, params, more, id = crypto.randomUUID()) {
      const bound = packed("cloister/unlocker/v1", id, person, kind, encoded(params));
      const wrapped = await aead(await hkdf(kek, "cloister/unlocker/v1/wrap"), unlockKey, bound);
      const sealed = join(await hkdf(kek, "cloister/unlocker/v1/commitment"), wrapped);
      rows.push({ raw: sealed, row: { id, kind, params, sealed: toBase64(sealed), ...more } });
    },

    /** What goes to the door: public keys, sealed keys, and the proof that whoever sends them holds the signing key. */
    async finish({ trust, applicant, challenge }) {
      const unlockers = await Promise.all(rows.map(async ({ raw, row }) => [row.id, row.kind, await sha256(raw)]));
      const body = encoded({ trust, applicant, person, challenge, kem: await sha256(kemPublic), bundle: await sha256(sealedPrivate), unlockers });
      const head = ["cloister/application/v1", 1, `applicant/${applicant}`, body];
      const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", sign.key, encoded(head)));
      for (const secret of [kemSeed, signSeed, unlockKey]) secret.fill(0);
      return {
        kem_public: toBase64(kemPublic),
        sign_public: toBase64(sign.publicKey),
        sealed_private: toBase64(sealedPrivate),
        unlockers: rows.map(({ row }) => row),
        proof: toBase64(encoded([...head, signature])),
      };
    },
  };
}

/** Seven words for two public keys: computed here, from what this browser made, whatever a server says. */
export async function fingerprint(signPublic, kemPublic) {
  const digest = await sha256(join(text.encode("cloister/fingerprint/v1|"), signPublic, kemPublic));
  let number = BigInt(`0x${[...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
  const words = [];
  for (let count = 0; count < FINGERPRINT_WORDS; count += 1) {
    words.push(WORDS[Number(number % BigInt(WORDS.length))]);
    number /= BigInt(WORDS.length);
  }
  return words.join(" ");
}
