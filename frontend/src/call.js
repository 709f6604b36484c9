// JSON calls to the door and to the session; a refusal becomes a Failure with the server's reason.

import { Failure } from "./keys.js";

const BY_STATUS = { 401: "refused", 403: "refused", 404: "gone", 421: "session-gone", 429: "too-many", 502: "down", 503: "down", 504: "down" };

export async function post(path, body, { status = {} } = {}) {
  return answer(await sent(path, { method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body) }), status);
}

export async function get(path) {
  return answer(await sent(path, { headers: { accept: "application/json" } }), {});
}

async function sent(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", redirect: "error", ...options });
  } catch {
    throw new Failure("unreachable");
  }
}

async function answer(response, status) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    body = {};
  }
  if (response.ok) return body;
  const error = body.error && typeof body.error === "object" ? body.error : body;
  const seconds = Number(response.headers.get("retry-after") ?? error.retry_after ?? error.seconds ?? 0) || 0;
  const reason = status[response.status] ?? BY_STATUS[response.status] ?? "fault";
  throw new Failure(reason, { seconds, detail: error.reason || error.text || "" });
}
