// The page of one published program: starts it, shows its screen (noVNC, RFC 6143 over our own WebSocket), and says by name why it ended.

import RFB from "@novnc/novnc";
import "./htmx.js";
import { isCovered } from "./cover.js";
import { watch } from "./idle.js";
import { live } from "./live.js";
import { mirror } from "./mirror.js";
import { listenQuietly } from "./quiet.js";
import { say } from "./words.js";

const AGAIN_SECONDS = 1;
const TRIES = 5;
const GONE_MILLISECONDS = 400; // before a screen that went is asked about
const MOVED_MILLISECONDS = 4000; // the session's own word about where it went is shown rather than the sign-in, however late it comes
const LOCKED = 401;
const FORBIDDEN = 403;
const at = (id) => document.getElementById(id);
const { program, kind } = document.body.dataset;
const address = `/programs/${encodeURIComponent(program)}`;
const screen = at("screen");
let rfb = null;
let rules = {};
let tries = 0;

async function call(path, body) {
  const asked = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(address + path, { ...asked, headers: { accept: "application/json", ...asked.headers }, credentials: "same-origin", cache: "no-store", redirect: "manual" });
  if (isCovered()) return new Promise(() => {});
  if (response.status === LOCKED || response.status === 421 || response.type === "opaqueredirect") {
    setTimeout(() => isCovered() || location.replace(`/login?locked=1&next=${encodeURIComponent(location.pathname)}`), MOVED_MILLISECONDS);
    return new Promise(() => {});
  }
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(said.text ?? ""), { status: response.status, reason: said.error ?? "", hint: said.hint ?? "" });
  return said;
}

function layout() {
  return at("layout").value;
}

// --- starting, and what is shown instead of the screen -----------------------------------------------------------

async function start(credentials = {}) {
  at("over").hidden = true;
  document.body.dataset.state = "starting";
  at("said").textContent = say("starting");
  const { width, height } = screen.getBoundingClientRect();
  try {
    const facts = await call("/start", { width: Math.max(320, Math.floor(width)), height: Math.max(240, Math.floor(height)), layout: layout(), ...credentials });
    if (facts.state === "ended") ended(facts);
    else show(facts);
  } catch (failure) {
    if (failure instanceof TypeError && tries++ < TRIES) {
      setTimeout(() => start(credentials), AGAIN_SECONDS * 1000 * tries); // the network; whoever asks twice gets the same run
      return;
    }
    refused(failure);
  }
}

function sentence(failure) {
  const known = say(`reason.${failure.reason}`);
  return known === say("fault") ? failure.message || known : known;
}

/** By the trust's own rule, in its words, or because the session could not. */
function refused(failure) {
  over(sentence(failure), failure.hint || say("again-hint"));
}

function ended(facts) {
  const key = facts.why === "program" ? (facts.status ? "failed" : "ended") : facts.why;
  const known = say(`why.${key}`, { status: facts.status, said: facts.said });
  over(known, say(`hint.${key}`), key === "missing" || key.startsWith("rdp-") ? "" : facts.said);
}

function over(heading, hint, said = "") {
  rfb?.disconnect();
  rfb = null;
  at("said").textContent = "";
  document.querySelector(".program-tools").hidden = true;
  for (const sheet of document.querySelectorAll("dialog[open]")) sheet.close();
  at("layout").disabled = false;
  at("over-heading").textContent = heading;
  at("over-hint").textContent = hint;
  at("over-said").textContent = said;
  at("over-said").hidden = !said;
  at("credentials").hidden = kind !== "windows";
  at("over").hidden = false;
  document.body.dataset.state = "over";
}

at("again").addEventListener("click", () => {
  const form = at("credentials");
  if (kind === "windows" && !form.reportValidity()) return;
  const given = kind === "windows" ? Object.fromEntries(new FormData(form)) : {};
  form.reset();
  start(given);
});

// --- the screen ----------------------------------------------------------------------------------------------------

async function show(facts) {
  rules = facts;
  at("said").textContent = facts.missing?.length ? say("missing-walls") : "";
  at("layout").disabled = kind === "windows"; // a Windows program keeps the layout that it was started with
  document.querySelector(".program-tools").hidden = false;
  const withheld = rules.withheld ?? {};
  at("clipboard-button").hidden = !(rules.clipboard_in || rules.clipboard_out || withheld.clipboard_in || withheld.clipboard_out);
  at("files-button").hidden = !(rules.transfer_in || rules.transfer_out || withheld.transfer_in || withheld.transfer_out);
  tell("clipboard-withheld", withheld.clipboard_in, withheld.clipboard_out);
  tell("files-withheld", withheld.transfer_in, withheld.transfer_out);
  screen.replaceChildren();
  let pass;
  try {
    ({ pass } = await call("/pass", {}));
  } catch (failure) {
    if (failure.status === FORBIDDEN) refused(failure);
    else gone();
    return;
  }
  rfb = new RFB(screen, `wss://${location.host}${address}/screen`, { shared: true, wsProtocols: [pass] });
  Object.assign(rfb, { resizeSession: true, focusOnClick: true, qualityLevel: 8, compressionLevel: 2, background: "#1d2733" });
  rfb.addEventListener("connect", () => {
    tries = 0;
    document.body.dataset.state = "running";
    rfb.focus();
  });
  rfb.addEventListener("disconnect", gone);
  rfb.addEventListener("clipboard", (event) => taken(event.detail.text));
}

/** What a rule of the trust keeps back where this page is open, in its own words. */
function tell(id, ...sentences) {
  at(id).textContent = [...new Set(sentences.filter(Boolean))].join(" ");
  at(id).hidden = !at(id).textContent;
}

async function gone() {
  rfb = null;
  await new Promise((resolve) => setTimeout(resolve, GONE_MILLISECONDS));
  if (isCovered()) return;
  try {
    const facts = await call("/state");
    if (facts.state === "ended") ended(facts);
    else if (tries++ < TRIES) setTimeout(() => show(facts), AGAIN_SECONDS * 1000 * tries);
    else over(say("why.screen"), say("hint.screen"));
  } catch (failure) {
    if (tries++ < TRIES) setTimeout(gone, AGAIN_SECONDS * 1000 * tries);
    else over(failure.message || say("fault"), failure.hint || say("again-hint"));
  }
}

at("layout").addEventListener("change", async () => {
  localStorage.setItem("keyboard", layout());
  await call("/layout", { layout: layout() }).catch(() => {});
  rfb?.focus();
});

at("end").addEventListener("click", async () => {
  await call("/end", {}).catch(() => {});
});

for (const button of document.querySelectorAll("[data-sheet]")) {
  button.addEventListener("click", () => {
    at(button.dataset.sheet).showModal();
    if (button.dataset.sheet === "files-sheet") list();
  });
}

// --- the clipboard ---------------------------------------------------------------------------------------------------

async function taken(text) {
  if (!rules.clipboard_out) return;
  at("clipboard").value = text;
  await navigator.clipboard?.writeText(text).catch(() => {}); // a browser may refuse; then it stands in the sheet
}

at("clipboard-send").addEventListener("click", () => {
  rfb?.clipboardPasteFrom(at("clipboard").value);
  at("clipboard-sheet").close();
  rfb?.focus();
});
at("clipboard-button").addEventListener("click", () => {
  at("clipboard-send").hidden = !rules.clipboard_in;
  at("clipboard").readOnly = !rules.clipboard_in;
  at("clipboard-note").textContent = say(rules.clipboard_in ? (rules.clipboard_out ? "clipboard-both" : "clipboard-in") : rules.clipboard_out ? "clipboard-out" : "clipboard-none");
});

// --- files -----------------------------------------------------------------------------------------------------------

async function list() {
  at("files-in").hidden = !rules.transfer_in;
  const kinds = rules.file_kinds ?? [];
  at("files-limits").textContent = say(kinds.length ? "files-limits-kinds" : "files-limits", { mib: rules.file_mib_max, kinds: kinds.join(", ") });
  at("file").accept = kinds.map((ending) => `.${ending}`).join(",");
  at("files-said").textContent = "";
  const { files } = await call("/files").catch(() => ({ files: [] }));
  at("files-out").replaceChildren(
    ...files.map(([name, size]) => {
      const row = document.createElement("li");
      const link = document.createElement("a");
      link.href = `${address}/file?name=${encodeURIComponent(name)}`;
      link.download = name;
      link.textContent = name;
      row.append(link, ` ${size.toLocaleString(document.documentElement.lang)} B`);
      return row;
    }),
  );
}

at("file").addEventListener("change", async () => {
  const told = [];
  for (const file of at("file").files) told.push(await given(file).catch((failure) => `${file.name}: ${sentence(failure)} ${failure.hint ?? ""}`));
  at("file").value = "";
  await list();
  at("files-said").textContent = told.join(" ");
});

async function given(file) {
  if (file.size > rules.file_mib_max * 1024 * 1024) return `${file.name}: ${say("reason.program-file-size")} ${say("files-limits", { mib: rules.file_mib_max })}`;
  const response = await fetch(`${address}/files?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { accept: "application/json", "content-type": "application/octet-stream" }, credentials: "same-origin", redirect: "manual" });
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(said.text ?? say("fault")), { reason: said.error ?? "", hint: said.hint ?? "" });
  return say("file-sent", { name: said.name });
}

const usual = document.documentElement.lang === "fr" ? "fr" : "us";
at("layout").value = localStorage.getItem("keyboard") ?? usual;
if (!at("layout").value) at("layout").value = usual;
mirror();
live();
listenQuietly();
watch();
if (kind === "windows") {
  call("/state").then((facts) => (facts.state === "ended" ? over(say("credentials"), say("credentials-hint")) : show(facts))).catch(() => over(say("credentials"), say("credentials-hint")));
} else {
  start();
}
