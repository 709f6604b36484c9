// Prove again that it is you: the passphrase or a passkey opens the keys once more, sealed to the session's fresh key. docs/sign-in.md

import { Argon2 } from "./argon2.js";
import { post } from "./call.js";
import { Failure, passphraseSecrets, sealToSession } from "./keys.js";
import { kekOfPasskey } from "./ways.js";
import { tellFailure } from "./telling.js";
import { say } from "./words.js";

const form = document.getElementById("again");
const passphrase = document.getElementById("again-passphrase");
const status = document.getElementById("again-status");
const alert = document.getElementById("again-alert");
const argon2 = new Argon2();

async function key() {
  const response = await fetch("/session/key", { headers: { accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw new Failure("session-gone");
  return response.json();
}

async function byPassphrase(ways) {
  if (!passphrase.value) throw new Failure("passphrase-missing");
  status.textContent = say("phase-derive");
  const { kek } = await passphraseSecrets(await argon2.root(passphrase.value, ways.passphrase.params));
  return { unlocker: ways.passphrase.unlocker, kek };
}

async function attempt(prove) {
  alert.hidden = true;
  try {
    const { unlocker, kek } = await prove(await post("/account/again/start", {}));
    const place = await key();
    await post("/session/unlock", { unlocker, sealed: await sealToSession(kek, place.session, place.public_key) });
    location.replace(form.dataset.back);
  } catch (fault) {
    tellFailure(fault, status, alert);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(byPassphrase);
});
document.getElementById("again-passkey").addEventListener("click", () => attempt((ways) => kekOfPasskey(ways.passkeys)));
