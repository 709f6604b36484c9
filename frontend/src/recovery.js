// The recovery ceremony: what opens something is derived and sealed here, for this party's own session.
//
// A passphrase or PIN never leaves the page; a card's file leaves it sealed, so that nobody on the way keeps a copy.

import { Argon2 } from "./argon2.js";
import { post } from "./call.js";
import { Failure, passphraseSecrets, sealFor } from "./keys.js";
import { tellFailure } from "./telling.js";
import { say, sayFailure } from "./words.js";

const CARD_BYTES_MAX = 16384;
const HOME = "/offices/recovery";
const place = document.getElementById("ceremony");
const alert = document.getElementById("ceremony-alert");
const status = document.getElementById("ceremony-status");
const argon2 = new Argon2();
const value = (id) => document.getElementById(id).value;
const here = (step) => `${HOME}/${encodeURIComponent(place.dataset.id)}/${step}`;

async function derived(text, hand) {
  status.textContent = say("phase-derive");
  const { kek } = await passphraseSecrets(await argon2.root(text.trim(), hand.params));
  return sealFor(kek, hand.info, hand.key);
}

const STEPS = {
  async open(form) {
    const filled = Object.fromEntries(new FormData(form));
    const { id } = await post(HOME, filled);
    location.assign(`${HOME}/${encodeURIComponent(id)}`);
  },
  async join() {
    await post(here("join"), {});
  },
  async escrow() {
    const hand = await post(here("hand"), { what: "escrow" });
    await post(here("escrow"), { sealed: await derived(value("passphrase"), hand) });
  },
  async card() {
    const file = document.getElementById("card").files[0];
    if (!file) return post(here("card"), { sealed: null });
    if (file.size > CARD_BYTES_MAX) throw new Failure("card-file");
    const hand = await post(here("hand"), { what: "card" });
    return post(here("card"), { sealed: await sealFor(new Uint8Array(await file.arrayBuffer()), hand.info, hand.key) });
  },
  async finish() {
    const hand = await post(here("hand"), { what: "pin" });
    if (!hand.params) throw new Failure("card-in-reader");
    await post(here("finish"), { pin: await derived(value("pin"), hand) });
  },
  async stop() {
    await post(here("stop"), { reason: value("why") });
  },
};

function sentence(failure) {
  const own = say(`ceremony-${failure.detail}`);
  return failure.detail && own !== say("fault") ? own : sayFailure(failure);
}

for (const form of document.querySelectorAll("form[data-step]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    alert.hidden = true;
    try {
      await STEPS[form.dataset.step](form);
      if (place) location.reload();
    } catch (fault) {
      tellFailure(fault, status, alert, sentence);
      button.disabled = false;
    }
  });
}

const purpose = document.getElementById("purpose");
purpose?.addEventListener("change", () => {
  const only = document.getElementById("recover-only");
  only.hidden = only.disabled = purpose.value !== "recover";
});
