// The account page's second form: add a card. The passphrase is proved again, as for a passkey; the agent asks for the PIN.

import { toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { cardSecrets, insertedKeys, newCard } from "./card.js";
import { Failure, passphraseSecrets, sealEnrolment } from "./keys.js";
import { say } from "./words.js";

/** `derive(passphrase, cost)` is Argon2id; `tell` shows how far it is. */
export async function addCard(passphrase, label, derive, tell) {
  if (!passphrase) throw new Failure("passphrase-missing");
  tell(say("phase-start"));
  await insertedKeys();
  const begun = await post("/account/cards/start", {});
  tell(say("phase-card"));
  const card = await newCard({ unlocker: begun.flow, person: begun.person, trust: begun.trust });
  const params = card.params.profile === "c" ? { ...card.params, ...begun.cost } : card.params;
  tell(say("phase-derive"));
  const { kek, verifier } = await cardSecrets(card.half, params, (cost) => derive(passphrase, cost));
  const present = await passphraseSecrets(await derive(passphrase, begun.passphrase));
  const sealed = await sealEnrolment(present.kek, kek, begun.flow, begun.public_key);
  tell(say("phase-save"));
  await post("/account/cards", { flow: begun.flow, params, verifier: toBase64(verifier), sealed, label: label || card.name });
}
