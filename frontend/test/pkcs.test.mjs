// The files that the page of network access makes, read by others' code: OpenSSL, where it is there.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { keyPem, newKey, pkcs12, requestFor } from "../src/pkcs.js";

const openssl = (...words) => spawnSync("openssl", words, { encoding: "utf8" });
const skip = openssl("version").status !== 0 && "openssl is not installed";

test("a request is signed by its key, and key and certificate open together under the password", { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "pkcs-"));
  const at = (name) => join(folder, name);
  try {
    const keys = await newKey();
    writeFileSync(at("request.der"), await requestFor(keys));
    assert.equal(openssl("req", "-inform", "DER", "-in", at("request.der"), "-verify", "-noout").status, 0);
    writeFileSync(at("key.pem"), await keyPem(keys));
    const made = openssl("req", "-x509", "-key", at("key.pem"), "-subj", "/CN=x", "-days", "1");
    assert.equal(made.status, 0, made.stderr);
    writeFileSync(at("both.p12"), await pkcs12(keys, made.stdout, "horloge-sable"));
    const read = openssl("pkcs12", "-in", at("both.p12"), "-passin", "pass:horloge-sable", "-nodes");
    assert.equal(read.status, 0, read.stderr);
    assert.match(read.stdout, /BEGIN PRIVATE KEY[^]*BEGIN CERTIFICATE/);
    assert.notEqual(openssl("pkcs12", "-in", at("both.p12"), "-passin", "pass:other", "-nodes").status, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
