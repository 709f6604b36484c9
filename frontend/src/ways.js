// What opens one's keys, when the proof was something else: a passkey's PRF, asked without the door.

import { fromBase64Url } from "./bytes.js";
import { Failure, passkeyKek } from "./keys.js";
import { prfOf } from "./passkey.js";

// SHA-256("cloister/prf/v1"), docs/spec/zones.md 5
const PRF_SALT = Uint8Array.from("ef31ef16a21c4ba8de8f6874077ae6ffd95ab6c558444529fe567b360c20c0d6".match(/../g), (pair) => parseInt(pair, 16));

/** `passkeys` are {unlocker, credential}; the one that answers, and its key. */
export async function kekOfPasskey(passkeys) {
  if (!passkeys.length) throw new Failure("no-passkey");
  const { id, prf } = await prfOf(passkeys.map((one) => fromBase64Url(one.credential)), { prf: { eval: { first: PRF_SALT } } });
  const used = passkeys.find((one) => one.credential === id);
  if (!used) throw new Failure("passkey-refused");
  return { unlocker: used.unlocker, kek: await passkeyKek(prf) };
}
