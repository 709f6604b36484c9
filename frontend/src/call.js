// JSON calls to the door and to the session; a refusal becomes a Failure with a name that the page has a sentence for.

import { Failure } from "./keys.js";

// The server's reasons, where they say more than the status.
const BY_REASON = {
  "sign-in-refused": "wrong",
  "challenge-over": "flow-over",
  "enrolment-refused": "code-wrong",
  "enrolment-over": "code-over",
  application: "application",
  "sign-in-limit": "too-many",
  "wrong-secret": "session-refused",
  "unlock-message": "session-refused",
  "other-session": "session-gone",
  "passkey-without-prf": "prf-missing",
  "unlocker-exists": "passkey-known",
  "no-passphrase": "no-passphrase",
  "no-answer": "down",
  "server-silent": "down",
  database: "down",
  slots: "full",
  "no-server": "full",
  "server-draining": "full",
  "certificate-expired": "certificate",
  "certificate-revoked": "certificate",
  "certificate-missing": "certificate",
  "certificate-not-yet": "certificate",
  bundle: "broken",
  "card-expired": "card-expired",
  "card-exists": "card-known",
  wrong: "wrong",
};
const BY_STATUS = { 401: "refused", 403: "refused", 404: "gone", 421: "session-gone", 429: "too-many", 502: "down", 503: "down", 504: "down" };

export async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Failure("unreachable");
  }
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  const reason = typeof said.error === "string" ? said.error : said.reason;
  const seconds = Number(response.headers.get("retry-after")) || 0;
  throw new Failure(BY_REASON[reason] ?? BY_STATUS[response.status] ?? "fault", { seconds, detail: reason ?? "" });
}
