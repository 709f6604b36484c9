// A new passphrase: the old one or a passkey proves the person, the session wraps the same unlock key once more.

import { fromBase64Url, toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { Failure, passkeyKek, passphraseSecrets, sealEnrolment } from "./keys.js";
import { sha256 } from "./newkeys.js";
import { prfOf } from "./passkey.js";
import { say } from "./words.js";

const SHORTEST = 12;
// SHA-256("cloister/prf/v1"), docs/spec/zones.md 5
const PRF_SALT = Uint8Array.from("ef31ef16a21c4ba8de8f6874077ae6ffd95ab6c558444529fe567b360c20c0d6".match(/../g), (pair) => parseInt(pair, 16));

async function present(begun, old, derive) {
  if (old) return { unlocker: begun.unlocker, kek: (await passphraseSecrets(await derive(old, begun.passphrase))).kek };
  if (!begun.passkeys.length) throw new Failure("passphrase-missing");
  const { id, prf } = await prfOf(begun.passkeys.map((one) => fromBase64Url(one.credential)), { prf: { eval: { first: PRF_SALT } } });
  const used = begun.passkeys.find((one) => one.credential === id);
  if (!used) throw new Failure("passkey-refused");
  return { unlocker: used.unlocker, kek: await passkeyKek(prf) };
}

/** `derive(passphrase, cost)` is Argon2id in the worker, `tell` shows a phase. */
export async function changePassphrase(old, fresh, again, derive, tell) {
  if (fresh.length < SHORTEST) throw new Failure("passphrase-short");
  if (fresh !== again) throw new Failure("passphrase-differs");
  tell(say("phase-start"));
  const begun = await post("/account/passphrase/start", {});
  tell(say("phase-derive"));
  const proof = await present(begun, old, derive);
  const salt = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const params = { salt, ...begun.cost };
  const { kek, verifier } = await passphraseSecrets(await derive(fresh, params));
  const sealed = await sealEnrolment(proof.kek, kek, begun.flow, begun.public_key);
  tell(say("phase-save"));
  await post("/account/passphrase", { flow: begun.flow, unlocker: proof.unlocker, sealed, params, verifier: toBase64(await sha256(verifier)) });
}
