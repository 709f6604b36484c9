// The account page: enrol a passkey, add a card. The passphrase is proved once more, because the session forgot the unlock key on purpose.

import { addCard } from "./account-card.js";
import { changePassphrase } from "./account-passphrase.js";
import { Argon2 } from "./argon2.js";
import { post } from "./call.js";
import { Failure, passkeyKek, passphraseSecrets, sealEnrolment } from "./keys.js";
import { enrol, supported } from "./passkey.js";
import { tellFailure } from "./telling.js";
import { say } from "./words.js";

const form = document.getElementById("add-passkey");
const passphrase = document.getElementById("passphrase");
const label = document.getElementById("passkey-label");
const button = document.getElementById("passkey-button");
const status = document.getElementById("passkey-status");
const alert = document.getElementById("passkey-alert");
const argon2 = new Argon2();

async function add() {
  if (!supported()) throw new Failure("passkey-unsupported");
  if (!passphrase.value) throw new Failure("passphrase-missing");
  status.textContent = say("phase-start");
  const begun = await post("/account/passkeys/start", {});
  status.textContent = say("phase-passkey");
  const { attestation, prf } = await enrol(begun.options); // first, while the click still counts as the person's gesture
  status.textContent = say("phase-derive");
  const { kek } = await passphraseSecrets(await argon2.root(passphrase.value, begun.passphrase));
  const sealed = await sealEnrolment(kek, await passkeyKek(prf), begun.flow, begun.public_key);
  status.textContent = say("phase-save");
  await post("/account/passkeys", { flow: begun.flow, attestation, sealed, label: label.value.trim() });
}

function onSubmit(form, button, status, alert, work, then) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    alert.hidden = true;
    try {
      await work();
      location.replace(then);
    } catch (fault) {
      tellFailure(fault, status, alert);
      button.disabled = false;
    }
  });
}

onSubmit(form, button, status, alert, add, "/account?added=1");
const of = (id) => document.getElementById(id);
const derive = (text, cost) => argon2.root(text, cost);
const tell = (text) => (of("card-status").textContent = text);
const card = () => addCard(of("card-passphrase").value, of("card-label").value.trim(), derive, tell);
onSubmit(of("add-card"), of("card-button"), of("card-status"), of("card-alert"), card, "/account?added=card");
const said = (text) => (of("change-status").textContent = text);
const change = () => changePassphrase(of("old-passphrase").value, of("new-passphrase").value, of("again-passphrase").value, derive, said);
onSubmit(of("change-passphrase"), of("change-button"), of("change-status"), of("change-alert"), change, "/account?added=passphrase");
