// The account page: enrol a passkey. Its PRF-derived key goes to the session sealed, as at sign-in.

import { get, post } from "./call.js";
import { Failure, passkeyKek, sealToSession } from "./keys.js";
import { enrol, supported } from "./passkey.js";
import { say, sayFailure } from "./words.js";

const button = document.getElementById("add-passkey");
const label = document.getElementById("passkey-label");
const status = document.getElementById("passkey-status");
const alert = document.getElementById("passkey-alert");

async function add() {
  status.textContent = say("phase-start");
  const { flow, options } = await post("/account/passkeys/start", {});
  status.textContent = say("phase-passkey");
  const { attestation, prf } = await enrol(options);
  const kek = await passkeyKek(prf);
  const key = await get("/session/key");
  const sealed = await sealToSession(kek, key.session, key.public_key);
  kek.fill(0);
  status.textContent = say("phase-save");
  await post("/account/passkeys", { flow, attestation, sealed, label: label.value.trim() });
}

button?.addEventListener("click", async () => {
  button.disabled = true;
  alert.hidden = true;
  try {
    if (!supported()) throw new Failure("passkey-unsupported");
    await add();
    location.replace("/account?added=1");
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
