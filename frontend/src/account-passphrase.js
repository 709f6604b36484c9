// A new passphrase: the old one or a passkey proves the person, the session wraps the same unlock key once more.

import { toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { Failure, passphraseSecrets, sealEnrolment } from "./keys.js";
import { sha256 } from "./newkeys.js";
import { kekOfPasskey } from "./ways.js";
import { say } from "./words.js";

const SHORTEST = 12;

async function present(begun, old, derive) {
  if (old) return { unlocker: begun.unlocker, kek: (await passphraseSecrets(await derive(old, begun.passphrase))).kek };
  if (!begun.passkeys.length) throw new Failure("passphrase-missing");
  return kekOfPasskey(begun.passkeys);
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
