// JSON calls to the door and to the session; a refusal becomes a Failure with a name that the page has a sentence for.

import { Failure } from "./keys.js";
import { addressOf, proof } from "./proof.js";

// The server's reasons, where they say more than the status.
const BY_REASON = {
  "sign-in-refused": "wrong",
  "challenge-over": "flow-over",
  "enrolment-refused": "code-wrong",
  "enrolment-over": "code-over",
  application: "application",
  "sign-in-limit": "too-many",
  "sign-in-exhausted": "exhausted",
  "wrong-secret": "session-refused",
  "unlock-message": "session-refused",
  "other-session": "session-gone",
  "passkey-without-prf": "prf-missing",
  "unlocker-exists": "passkey-known",
  "no-passphrase": "no-passphrase",
  "key-missing": "no-binding",
  unbound: "session-gone",
  "no-answer": "down",
  "server-silent": "down",
  database: "down",
  slots: "full",
  "no-server": "full",
  "server-draining": "full",
  "server-maintenance": "full",
  "server-unhealthy": "full",
  "server-off": "full",
  image: "full",
  "not-published": "full",
  queue: "full",
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

/** `key`: whose proof goes along, with the nonce that the other side has asked for. */
export async function post(path, body, { key = null, nonce = "" } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        ...(key ? { dpop: await proof(key, "POST", addressOf(path), nonce) } : {}),
      },
      body: JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Failure("unreachable");
  }
  const offered = response.headers.get("dpop-nonce");
  if (key && response.status === 401 && offered && offered !== nonce) return post(path, body, { key, nonce: offered });
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  const reason = typeof said.error === "string" ? said.error : said.reason;
  const seconds = Number(response.headers.get("retry-after")) || 0;
  if (response.status === 403 && said.text && !BY_REASON[reason]) throw new Failure("said", { detail: `${said.text} ${said.hint ?? ""}`.trim() });
  throw new Failure(BY_REASON[reason] ?? BY_STATUS[response.status] ?? "fault", { seconds, detail: reason ?? "" });
}
