// The sign-in page: name, then passphrase, passkey or card, then the unlock key sealed to one's own session.
//
// The passphrase never leaves this page: the door gets a verifier derived from it, the session another key derived from it.

import { Argon2 } from "./argon2.js";
import { toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { cardHalf, cardSecrets, insertedKeys, offered } from "./card.js";
import { Failure, passkeyKek, passphraseSecrets, sealToSession } from "./keys.js";
import { assert, supported } from "./passkey.js";
import { say, sayFailure } from "./words.js";

const form = document.getElementById("sign-in");
const name = document.getElementById("name");
const passphrase = document.getElementById("passphrase");
const passkeyButton = document.getElementById("use-passkey");
const cardButton = document.getElementById("use-card");
const status = document.getElementById("status");
const progress = document.getElementById("progress");
const alert = document.getElementById("alert");

const argon2 = new Argon2();
let started = null; // {name, reply: promise}: asked while the passphrase is still being typed, because the salt is needed first

function start() {
  const wanted = name.value.trim();
  if (!wanted) throw new Failure("name-missing");
  if (started?.name !== wanted) started = { name: wanted, reply: post("/login/start", { sign_in: wanted }) };
  return started.reply;
}

name.addEventListener("change", () => {
  if (name.value.trim()) start().catch(() => (started = null));
});

function phase(key, share) {
  progress.hidden = false;
  progress.value = share;
  status.textContent = say(key);
}

/** The share of Argon2id's usual time that has passed; it ends where the next phase begins. */
function creep(from, to, milliseconds) {
  const begun = performance.now();
  const timer = setInterval(() => {
    const part = 1 - Math.exp(-(performance.now() - begun) / milliseconds);
    progress.value = from + (to - from) * part;
  }, 50);
  return () => clearInterval(timer);
}

async function withPassphrase() {
  if (!passphrase.value) throw new Failure("passphrase-missing");
  phase("phase-start", 5);
  const flow = await start();
  if (!flow.passphrase) throw new Failure("no-passphrase");
  phase("phase-derive", 15);
  const stop = creep(15, 75, 400);
  const root = await argon2.root(passphrase.value, flow.passphrase).finally(stop);
  const { kek, verifier } = await passphraseSecrets(root);
  phase("phase-prove", 80);
  const place = await post("/login/passphrase", { flow: flow.flow, verifier: toBase64(verifier) });
  return { kek, place };
}

async function withPasskey() {
  phase("phase-start", 5);
  const flow = await start();
  if (!flow.passkey) throw new Failure("no-passkey");
  phase("phase-passkey", 30);
  const { assertion, prf } = await assert(flow.passkey);
  phase("phase-prove", 70);
  const place = await post("/login/passkey", { flow: flow.flow, assertion }).catch((failure) => {
    throw failure.reason === "wrong" ? new Failure("passkey-refused") : failure;
  });
  return { kek: await passkeyKek(prf), place };
}

async function withCard() {
  if (!name.value.trim()) throw new Failure("name-missing");
  phase("phase-start", 5);
  const keys = await insertedKeys();
  const flow = await post("/login/start", { sign_in: name.value.trim(), cards: true });
  const card = await offered(flow.cards, keys);
  if (card.params.profile === "c" && !passphrase.value) throw new Failure("card-passphrase");
  phase("phase-card", 20);
  const half = await cardHalf(card);
  phase("phase-derive", 50);
  const { kek, verifier } = await cardSecrets(half, card.params, (cost) => argon2.root(passphrase.value, cost));
  phase("phase-prove", 80);
  const place = await post("/login/card", { flow: flow.flow, unlocker: card.unlocker, verifier: toBase64(verifier) }).catch((failure) => {
    throw failure.reason === "wrong" && card.params.profile !== "c" ? new Failure("card-refused") : failure;
  });
  return { kek, place };
}

async function unlock({ kek, place }) {
  phase("phase-unlock", 90);
  const sealed = await sealToSession(kek, place.session, place.public_key);
  await post("/session/unlock", { unlocker: place.unlocker.id, sealed });
  phase("phase-open", 100);
  return next(place.next);
}

/** Where to go: what the person had asked for, if it is a path of this site; else what the door says. */
function next(said) {
  const asked = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/(?![/\\])/.test(asked) && !asked.startsWith("/login") ? asked : (said ?? "/");
}

let busy = false;
async function attempt(prove) {
  if (busy) return;
  busy = true;
  form.setAttribute("aria-busy", "true");
  alert.hidden = true;
  try {
    location.replace(await unlock(await prove()));
  } catch (fault) {
    const failure = fault instanceof Failure ? fault : new Failure("fault", { detail: String(fault) });
    if (!(fault instanceof Failure)) console.error(fault);
    show(failure);
    busy = false;
    form.removeAttribute("aria-busy");
  }
}

function show(failure) {
  started = null; // a flow is for one attempt
  progress.hidden = true;
  status.textContent = "";
  alert.textContent = sayFailure(failure);
  alert.dataset.reason = failure.reason;
  alert.hidden = false;
  if (["wrong", "passphrase-missing", "card-passphrase"].includes(failure.reason)) {
    passphrase.select();
    passphrase.focus();
  } else if (failure.reason === "name-missing") {
    name.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(withPassphrase);
});
passkeyButton.addEventListener("click", () => attempt(withPasskey));
cardButton.addEventListener("click", () => attempt(withCard));
if (!supported()) passkeyButton.hidden = true;
const locked = new URLSearchParams(location.search).get("locked");
if (locked) document.getElementById(locked === "card" ? "locked-card" : "locked").hidden = false;
for (const button of form.querySelectorAll("button")) button.disabled = false;
if (name.value.trim()) name.dispatchEvent(new Event("change"));
