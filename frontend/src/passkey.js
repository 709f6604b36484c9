// WebAuthn Level 3 with the PRF extension (section 10.1.4): one gesture proves the person and gives the unlock secret.
//
// The PRF output never leaves the browser, except derived and sealed to the session. So the answer for the server is
// put together field by field: credential.toJSON() would carry the PRF output in clientExtensionResults.

import { fromBase64Url, toBase64Url } from "./bytes.js";
import { Failure } from "./keys.js";

export const supported = () => Boolean(window.PublicKeyCredential && navigator.credentials);

function descriptors(list) {
  return (list ?? []).map((item) => ({ ...item, id: fromBase64Url(item.id) }));
}

function prfInput(extensions) {
  const first = extensions?.prf?.eval?.first;
  if (!first) throw new Failure("prf-missing");
  return { ...extensions, prf: { eval: { first: fromBase64Url(first) } } };
}

async function asked(promise) {
  try {
    const credential = await promise;
    if (credential) return credential;
  } catch (fault) {
    if (fault.name === "InvalidStateError") throw new Failure("passkey-known");
    if (fault.name === "NotAllowedError" && /\bTLS\b|certificate/i.test(fault.message)) throw new Failure("passkey-certificate");
    if (fault.name === "NotAllowedError" || fault.name === "AbortError") throw new Failure("passkey-cancelled");
    throw new Failure("passkey-failed", { detail: fault.name });
  }
  throw new Failure("passkey-cancelled");
}

/** Asks for an assertion; returns {assertion for the server, prf for us}. */
export async function assert(options) {
  const publicKey = {
    ...options,
    challenge: fromBase64Url(options.challenge),
    allowCredentials: descriptors(options.allowCredentials),
    extensions: prfInput(options.extensions),
  };
  const credential = await asked(navigator.credentials.get({ publicKey }));
  const prf = credential.getClientExtensionResults().prf?.results?.first;
  if (!prf) throw new Failure("prf-missing");
  const { response } = credential;
  const assertion = {
    id: credential.id,
    rawId: toBase64Url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: {},
    response: {
      clientDataJSON: toBase64Url(response.clientDataJSON),
      authenticatorData: toBase64Url(response.authenticatorData),
      signature: toBase64Url(response.signature),
      userHandle: response.userHandle ? toBase64Url(response.userHandle) : null,
    },
  };
  return { assertion, prf: new Uint8Array(prf) };
}

/** Makes a passkey; when its creation gives no PRF output (most security keys), asks it once more for that. */
export async function enrol(options) {
  const extensions = prfInput(options.extensions);
  const publicKey = {
    ...options,
    challenge: fromBase64Url(options.challenge),
    user: { ...options.user, id: fromBase64Url(options.user.id) },
    excludeCredentials: descriptors(options.excludeCredentials),
    extensions,
  };
  const credential = await asked(navigator.credentials.create({ publicKey }));
  const results = credential.getClientExtensionResults().prf;
  if (!results?.enabled) throw new Failure("prf-missing");
  const attestation = {
    id: credential.id,
    rawId: toBase64Url(credential.rawId),
    type: credential.type,
    clientExtensionResults: { prf: { enabled: true } },
    response: {
      clientDataJSON: toBase64Url(credential.response.clientDataJSON),
      attestationObject: toBase64Url(credential.response.attestationObject),
      transports: credential.response.getTransports?.() ?? [],
    },
  };
  const prf = results.results?.first ?? (await prfOf([credential.rawId], extensions, options.rp?.id)).prf;
  return { attestation, prf: new Uint8Array(prf) };
}

/** The PRF output of one of these passkeys, and which it was: a gesture that opens, not one that signs in. */
export async function prfOf(ids, extensions, rpId) {
  const publicKey = {
    challenge: crypto.getRandomValues(new Uint8Array(32)), // nobody checks this assertion; only its PRF output is wanted
    allowCredentials: ids.map((id) => ({ type: "public-key", id })),
    userVerification: "required",
    extensions,
    ...(rpId ? { rpId } : {}),
  };
  const second = await asked(navigator.credentials.get({ publicKey }));
  const prf = second.getClientExtensionResults().prf?.results?.first;
  if (!prf) throw new Failure("prf-missing");
  return { id: second.id, prf: new Uint8Array(prf) };
}
