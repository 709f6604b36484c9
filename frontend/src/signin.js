// The sign-in page: name, then passphrase, passkey or card, then the unlock key sealed to one's own session.
//
// The passphrase never leaves this page: the door gets a verifier derived from it, the session another key derived from it.

import { Argon2 } from "./argon2.js";
import { bindable, worker } from "./bound.js";
import { toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { cardHalf, cardSecrets, insertedKeys, offered } from "./card.js";
import { Failure, passkeyKek, passphraseSecrets, sealToSession } from "./keys.js";
import { assert, supported } from "./passkey.js";
import { keep, newKey } from "./proof.js";
import { kekOfPasskey } from "./ways.js";
import { pass } from "./unaided.js";
import { say, sayFailure } from "./words.js";

const form = document.getElementById("sign-in");
const name = document.getElementById("name");
const passphrase = document.getElementById("passphrase");
const passkeyButton = document.getElementById("use-passkey");
const cardButton = document.getElementById("use-card");
const code = document.getElementById("code");
const codeRow = document.getElementById("code-row");
const codeButton = document.getElementById("use-code");
const password = document.getElementById("password");
const directoryRow = document.getElementById("directory-row");
const directoryButton = document.getElementById("use-directory");
const status = document.getElementById("status");
const progress = document.getElementById("progress");
const alert = document.getElementById("alert");

const argon2 = new Argon2();
let bound = null; // this sign-in's key: the session and its ticket are bound to it
let started = null; // {name, reply: promise}: asked while the passphrase is still being typed, because the salt is needed first

function start() {
  const wanted = name.value.trim();
  if (!wanted) throw new Failure("name-missing");
  if (started?.name !== wanted) started = { name: wanted, reply: post("/login/start", { sign_in: wanted }) };
  started.reply.then((flow) => flow.code === "no" || showCode(), () => {});
  return started.reply;
}

name.addEventListener("change", () => {
  if (name.value.trim()) start().catch(() => (started = null));
});

/** From this place somebody may need a code beside the passphrase; the field is there for everybody alike. */
function showCode() {
  codeRow.hidden = false;
  codeButton.hidden = true;
}

const typedCode = () => (code.value.trim() ? { code: code.value.trim() } : {});

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
  const proofs = { flow: flow.flow, verifier: toBase64(verifier), ...typedCode() };
  const place = await post("/login/passphrase", proofs, { key: bound, nonce: flow.flow });
  return { kek, place };
}

async function withPasskey() {
  phase("phase-start", 5);
  const flow = await start();
  if (!flow.passkey) throw new Failure("no-passkey");
  phase("phase-passkey", 30);
  const { assertion, prf } = await assert(flow.passkey);
  phase("phase-prove", 70);
  const place = await post("/login/passkey", { flow: flow.flow, assertion }, { key: bound, nonce: flow.flow }).catch((failure) => {
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
  const proofs = { flow: flow.flow, unlocker: card.unlocker, verifier: toBase64(verifier) };
  const place = await post("/login/card", proofs, { key: bound, nonce: flow.flow }).catch((failure) => {
    throw failure.reason === "wrong" && card.params.profile !== "c" ? new Failure("card-refused") : failure;
  });
  return { kek, place };
}

/** The hospital's own password proves; passphrase or passkey then opens the keys, which that password cannot. */
async function withDirectory() {
  if (directoryRow.hidden) {
    directoryRow.hidden = false;
    password.focus();
    throw new Failure("directory-missing");
  }
  if (!password.value) throw new Failure("directory-missing");
  phase("phase-prove", 30);
  const flow = await start();
  const place = await post("/login/directory", { flow: flow.flow, password: password.value, ...typedCode() }, { key: bound, nonce: flow.flow });
  password.value = "";
  return opening(place);
}

/** Somebody who proved themselves at a provider, or with a card at the card's own address, comes back with a word that is good once. */
let proved = new URLSearchParams(location.hash.slice(1)).get("proved");
let passkeyFirst = false;
async function withWord() {
  if (!passphrase.value && !passkeyFirst) throw new Failure("passphrase-missing");
  phase("phase-prove", 30);
  const place = await post("/login/continued", { proved }, { key: bound, nonce: proved });
  proved = null;
  return opening(place);
}

async function opening(said) {
  const place = await turn(said);
  if (!passphrase.value) {
    phase("phase-passkey", 50);
    const { unlocker, kek } = await kekOfPasskey(place.ways.passkeys);
    return { kek, place: { ...place, unlocker: { id: unlocker } } };
  }
  phase("phase-derive", 50);
  const stop = creep(50, 80, 400);
  const root = await argon2.root(passphrase.value, place.ways.passphrase.params).finally(stop);
  const { kek } = await passphraseSecrets(root);
  return { kek, place: { ...place, unlocker: { id: place.ways.passphrase.unlocker } } };
}

/** Everything is taken: the page shows the place in the queue and asks again, which keeps it. */
async function turn(place) {
  while (place.waiting) {
    phase("phase-wait", 85);
    status.textContent = say("phase-wait", { place: place.place, of: place.of });
    await new Promise((done) => setTimeout(done, 1000 * (place.after_seconds || 2)));
    place = await post("/login/wait", { waiting: place.waiting }, { key: bound, nonce: place.flow });
  }
  return place;
}

async function unlock({ kek, place: said }) {
  const place = await turn(said);
  phase("phase-unlock", 90);
  await keep("key", bound);
  const sealed = await sealToSession(kek, place.session, place.public_key);
  const opened = await post("/session/unlock", { unlocker: place.unlocker.id, sealed }, { key: bound });
  phase("phase-open", 100);
  return next(place.next, opened.page);
}

/** Where to go: what the person had asked for, if it is a path of this site; else where the session was left, wherever that was. */
function next(said, left) {
  const asked = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/(?![/\\])/.test(asked) && !asked.startsWith("/login") ? `${asked}#continue` : left ? `${left}#continue` : (said ?? "/");
}

let busy = false;
async function attempt(prove) {
  if (busy) return;
  busy = true;
  form.setAttribute("aria-busy", "true");
  alert.hidden = true;
  try {
    const aided = await worker();
    bound = await newKey();
    const there = await unlock(await prove());
    if (!aided) await pass("GET", there);
    location.replace(there);
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
  passkeyFirst = false;
  attempt(proved ? withWord : directoryRow && !directoryRow.hidden ? withDirectory : withPassphrase);
});
passkeyButton.addEventListener("click", () => {
  passkeyFirst = true;
  attempt(proved ? withWord : withPasskey);
});
directoryButton?.addEventListener("click", () => attempt(withDirectory));
codeButton.addEventListener("click", () => {
  showCode();
  code.focus();
});
const refused = new URLSearchParams(location.hash.slice(1)).get("refused");
if (proved || refused) history.replaceState(null, "", location.pathname + location.search);
if (refused) show(new Failure(refused));
if (proved) {
  document.getElementById("proved").hidden = false;
  name.hidden = document.querySelector("label[for=name]").hidden = true;
  cardButton.hidden = codeButton.hidden = true;
}
cardButton.addEventListener("click", () => attempt(withCard));
worker().catch(() => {}); // early, so that it stands when the name has been typed; what is wrong with it is said then
bindable().then((can) => can || (document.getElementById("unbound").hidden = false)); // said before anything is typed
if (!supported()) passkeyButton.hidden = true;
const locked = new URLSearchParams(location.search).get("locked");
if (locked) document.getElementById(locked === "card" ? "locked-card" : "locked").hidden = false;
for (const button of form.querySelectorAll("button")) button.disabled = false;
if (name.value.trim()) name.dispatchEvent(new Event("change"));
