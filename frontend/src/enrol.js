// The enrolment page: a code from the certificate officer, then keys that are made here and never leave this browser unsealed.

import { Argon2 } from "./argon2.js";
import { fromBase64, toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { Failure, passkeyKek, passphraseSecrets } from "./keys.js";
import { fingerprint, newKeys, sha256 } from "./newkeys.js";
import { enrol, supported } from "./passkey.js";
import { say, sayFailure } from "./words.js";

const SHORTEST = 12;
const form = document.getElementById("enrol");
const field = (name) => document.getElementById(name);
const status = field("status");
const alert = field("alert");
const argon2 = new Argon2();

function checked() {
  if (!supported()) throw new Failure("passkey-unsupported");
  if (!field("name").value.trim() || !field("code").value.trim()) throw new Failure("code-missing");
  if (field("passphrase").value.length < SHORTEST) throw new Failure("passphrase-short");
  if (field("passphrase").value !== field("again").value) throw new Failure("passphrase-differs");
}

async function apply() {
  checked();
  status.textContent = say("phase-start");
  const begun = await post("/enrol/start", { sign_in: field("name").value.trim(), code: field("code").value });
  status.textContent = say("phase-passkey");
  const { attestation, prf } = await enrol(begun.passkey).catch((failure) => {
    throw failure.reason === "prf-missing" ? new Failure("prf-needed") : failure;
  });
  status.textContent = say("phase-derive");
  const params = { salt: [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""), ...begun.cost };
  const { kek, verifier } = await passphraseSecrets(await argon2.root(field("passphrase").value, params));
  const keys = await newKeys(begun.person);
  await keys.wrap(kek, "passphrase", params, { verifier: toBase64(await sha256(verifier)) });
  await keys.wrap(await passkeyKek(prf), "passkey", { credential_id: attestation.id }, { attestation, label: field("label").value.trim() });
  status.textContent = say("phase-save");
  const answer = await keys.finish({ trust: begun.trust, applicant: begun.applicant, challenge: fromBase64(begun.challenge) });
  await post("/enrol/finish", { flow: begun.flow, ...answer });
  field("who").textContent = begun.name;
  field("fingerprint").textContent = await fingerprint(keys.signPublic, keys.kemPublic);
  form.hidden = true;
  field("done").hidden = false;
  field("done-heading").focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = field("button");
  button.disabled = true;
  alert.hidden = true;
  try {
    await apply();
  } catch (fault) {
    if (!(fault instanceof Failure)) console.error(fault);
    const failure = fault instanceof Failure ? fault : new Failure("fault");
    status.textContent = "";
    alert.textContent = sayFailure(failure);
    alert.dataset.reason = failure.reason;
    alert.hidden = false;
    button.disabled = false;
  }
});
field("button").disabled = false;
