// Network access: a new key of this browser, a certificate of hours for it, and both as files. docs/vpn.md
//
// The key leaves this page as the files that its person takes, and in no other way; when the page is left it is forgotten.

import { toBase64 } from "./bytes.js";
import { post } from "./call.js";
import { Failure } from "./keys.js";
import { keyPem, newKey, pkcs12, requestFor } from "./pkcs.js";
import { tellFailure } from "./telling.js";
import { say } from "./words.js";

const form = document.getElementById("network");
const password = document.getElementById("network-password");
const alert = document.getElementById("network-alert");
const again = document.getElementById("network-again");
const button = document.getElementById("network-button");
const status = document.getElementById("network-status");
const made = document.getElementById("network-made");
const PASSWORD_CHARACTERS_MIN = 8;

function offer(id, content, type) {
  const link = document.getElementById(id);
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.hidden = false;
}

async function make() {
  if (password.value && password.value.length < PASSWORD_CHARACTERS_MIN) throw new Failure("file-password-short");
  const keys = await newKey();
  const given = await post("/network/certificate", { request: toBase64(await requestFor(keys)), posture: { agent: "browser" } });
  offer("network-pem", (await keyPem(keys)) + given.certificate, "application/x-pem-file");
  offer("network-authority", given.authority, "application/x-pem-file");
  const together = document.getElementById("network-p12");
  together.hidden = true;
  if (password.value) offer("network-p12", await pkcs12(keys, given.certificate, password.value), "application/x-pkcs12");
  made.querySelector("[data-until]").textContent = new Date(given.until).toLocaleString(document.documentElement.lang);
  made.hidden = false;
  password.value = "";
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  alert.hidden = again.hidden = true;
  button.disabled = true;
  status.textContent = say("network-phase");
  try {
    await make();
  } catch (fault) {
    tellFailure(fault, status, alert);
    again.hidden = alert.dataset.reason !== "said"; // a rule of the trust, which a better or fresher proof may lift
  }
  status.textContent = "";
  button.disabled = false;
});
