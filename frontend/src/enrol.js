// The enrolment page: a code from the certificate officer, then keys that are made here and never leave this browser unsealed.

import { Argon2 } from "./argon2.js";
import { fromBase64, toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { cardSecrets, insertedKeys, newCard } from "./card.js";
import { Failure, passkeyKek, passphraseSecrets } from "./keys.js";
import { fingerprint, newKeys, sha256 } from "./newkeys.js";
import { enrol, supported } from "./passkey.js";
import { tellFailure } from "./telling.js";
import { say } from "./words.js";

const SHORTEST = 12;
const form = document.getElementById("enrol");
const field = (name) => document.getElementById(name);
const status = field("status");
const alert = field("alert");
const argon2 = new Argon2();

function checked() {
  if (!field("name").value.trim() || !field("code").value.trim()) throw new Failure("code-missing");
  if (field("passphrase").value.length < SHORTEST) throw new Failure("passphrase-short");
  if (field("passphrase").value !== field("again").value) throw new Failure("passphrase-differs");
}

const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const newCost = (begun) => ({ salt: hex(crypto.getRandomValues(new Uint8Array(16))), ...begun.cost });
const derive = (cost) => argon2.root(field("passphrase").value, cost);

/** The second way beside the passphrase: asked first, while the click still counts as the person's gesture. */
async function withPasskey(begun) {
  status.textContent = say("phase-passkey");
  const { attestation, prf } = await enrol(begun.passkey).catch((failure) => {
    throw failure.reason === "prf-missing" ? new Failure("prf-needed") : failure;
  });
  const more = { attestation, label: field("label").value.trim() };
  return async (keys) => keys.wrap(await passkeyKek(prf), "passkey", { credential_id: attestation.id }, more);
}

async function withCard(begun) {
  status.textContent = say("phase-card");
  const id = crypto.randomUUID();
  const card = await newCard({ unlocker: id, person: begun.person, trust: begun.trust });
  const params = card.params.profile === "c" ? { ...card.params, ...newCost(begun) } : card.params;
  return async (keys) => {
    const { kek, verifier } = await cardSecrets(card.half, params, derive);
    await keys.wrap(kek, "card", params, { verifier: toBase64(await sha256(verifier)), label: field("label").value.trim() || card.name }, id);
  };
}

async function apply(second) {
  checked();
  if (second === withPasskey && !supported()) throw new Failure("passkey-unsupported");
  if (second === withCard) await insertedKeys(); // before the code is used
  status.textContent = say("phase-start");
  const begun = await post("/enrol/start", { sign_in: field("name").value.trim(), code: field("code").value });
  const addSecond = await second(begun);
  status.textContent = say("phase-derive");
  const params = newCost(begun);
  const { kek, verifier } = await passphraseSecrets(await derive(params));
  const keys = await newKeys(begun.person);
  await keys.wrap(kek, "passphrase", params, { verifier: toBase64(await sha256(verifier)) });
  await addSecond(keys);
  status.textContent = say("phase-save");
  const answer = await keys.finish({ trust: begun.trust, applicant: begun.applicant, challenge: fromBase64(begun.challenge) });
  await post("/enrol/finish", { flow: begun.flow, ...answer });
  field("who").textContent = begun.name;
  field("fingerprint").textContent = await fingerprint(keys.signPublic, keys.kemPublic);
  form.hidden = true;
  field("done").hidden = false;
  field("done-heading").focus();
}

async function attempt(second) {
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  alert.hidden = true;
  try {
    await apply(second);
  } catch (fault) {
    tellFailure(fault, status, alert);
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(withPasskey);
});
field("use-card").addEventListener("click", () => attempt(withCard));
for (const button of form.querySelectorAll("button")) button.disabled = false;
