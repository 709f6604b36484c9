// A key of this browser as other programs read it: a request for a certificate (PKCS#10, RFC 2986), the key in PEM (RFC 7468), and key
// with certificate in one file under a password (PKCS#12, RFC 7292; PBES2 with AES-256, MAC by SHA-256).

import { fromBER, Integer, Null, ObjectIdentifier, OctetString, PrintableString, Sequence } from "asn1js";
import {
  Attribute,
  AttributeTypeAndValue,
  AuthenticatedSafe,
  CertBag,
  Certificate,
  CertificationRequest,
  PFX,
  SafeBag,
  SafeContents,
} from "pkijs";
import { fromBase64, toBase64 } from "./bytes.js";

const EC = { name: "ECDSA", namedCurve: "P-256" };
const COMMON_NAME = "2.5.4.3";
const KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3";
const LOCAL_KEY_ID = "1.2.840.113549.1.9.21";
const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
const HMAC_SHA256 = "1.2.840.113549.2.9";
const AES256_CBC = "2.16.840.1.101.3.4.1.42";
const KEY_ITERATIONS = 200000; // PBKDF2, by WebCrypto
const MAC_ITERATIONS = 10000;

/** A key that its file will hold: it may be taken out, once, on this page. */
export function newKey() {
  return crypto.subtle.generateKey(EC, true, ["sign", "verify"]);
}

/** DER. The name says nothing: whose certificate it becomes is the server's word. */
export async function requestFor(keys) {
  const request = new CertificationRequest();
  request.subject.typesAndValues.push(new AttributeTypeAndValue({ type: COMMON_NAME, value: new PrintableString({ value: "Cloister" }) }));
  await request.subjectPublicKeyInfo.importKey(keys.publicKey);
  request.attributes = []; // must be there, if empty (RFC 2986 4.1): strict readers refuse a request without
  await request.sign(keys.privateKey, "SHA-256");
  return new Uint8Array(request.toSchema().toBER());
}

export async function keyPem(keys) {
  return pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey));
}

/** Key and certificate (PEM) under this password. */
export async function pkcs12(keys, certificate, password) {
  const secret = new TextEncoder().encode(password).buffer;
  const mark = [new Attribute({ type: LOCAL_KEY_ID, values: [new OctetString({ valueHex: new Uint8Array([1]).buffer })] })];
  const shrouded = await shroudedKey(await crypto.subtle.exportKey("pkcs8", keys.privateKey), secret);
  const signed = new Certificate({ schema: fromBER(derOf(certificate).buffer).result });
  const bags = new SafeContents({
    safeBags: [
      new SafeBag({ bagId: KEY_BAG, bagValue: { toSchema: () => shrouded }, bagAttributes: mark }),
      new SafeBag({ bagId: CERTIFICATE_BAG, bagValue: new CertBag({ parsedValue: signed }), bagAttributes: mark }),
    ],
  });
  const safe = new AuthenticatedSafe({ parsedValue: { safeContents: [{ privacyMode: 0, value: bags }] } });
  await safe.makeInternalValues({ safeContents: [{}] });
  const file = new PFX({ parsedValue: { integrityMode: 0, authenticatedSafe: safe } });
  await file.makeInternalValues({ password: secret, iterations: MAC_ITERATIONS, pbkdf2HashAlgorithm: "SHA-256", hmacHashAlgorithm: "SHA-256" });
  return new Uint8Array(file.toSchema().toBER());
}

/** EncryptedPrivateKeyInfo (RFC 5958 3) by PBES2 (RFC 8018 A.4). pkijs makes one with a salt of 64 bytes, which GnuTLS does not read. */
async function shroudedKey(plain, password) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const root = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveKey"]);
  const derived = { name: "PBKDF2", hash: "SHA-256", salt, iterations: KEY_ITERATIONS };
  const key = await crypto.subtle.deriveKey(derived, root, { name: "AES-CBC", length: 256 }, false, ["encrypt"]);
  const sealed = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, plain);
  const named = (oid, parameters) => new Sequence({ value: [new ObjectIdentifier({ value: oid }), parameters] });
  const bytes = (raw) => new OctetString({ valueHex: raw });
  const costs = new Sequence({ value: [bytes(salt.buffer), new Integer({ value: KEY_ITERATIONS }), named(HMAC_SHA256, new Null())] });
  const scheme = new Sequence({ value: [named(PBKDF2, costs), named(AES256_CBC, bytes(iv.buffer))] });
  return new Sequence({ value: [named(PBES2, scheme), bytes(sealed)] });
}

function pem(label, der) {
  return `-----BEGIN ${label}-----\n${toBase64(der).replace(/(.{64})/g, "$1\n").trimEnd()}\n-----END ${label}-----\n`;
}

function derOf(text) {
  return fromBase64(text.replace(/-----[A-Z ]+-----|\s/g, ""));
}
