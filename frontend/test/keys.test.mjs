// What the browser seals, Python's cryptography opens, and both derive the same keys (docs/spec/zones.md "Unlockers").

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { argon2id } from "hash-wasm";
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from "../src/bytes.js";
import { Failure, checkCost, passkeyKek, passphraseSecrets, sealEnrolment, sealToSession } from "../src/keys.js";

const python = process.env.CLOISTER_PYTHON ?? [".venv/bin/python", "python3"].find((path) => !path.includes("/") || existsSync(path));

const PEER = `
import hashlib, json, sys
from cryptography.hazmat.primitives import hpke, hashes
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
seed = hashlib.shake_256(bytes(range(32))).digest(96)
m = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed[:64]); x = x25519.X25519PrivateKey.from_private_bytes(seed[64:])
if sys.argv[1] == "public":
    print((m.public_key().public_bytes_raw() + x.public_key().public_bytes_raw()).hex())
elif sys.argv[1] == "open":
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    print(suite.decrypt(bytes.fromhex(sys.argv[2]), hpke.MLKEM768X25519PrivateKey(m, x), info=sys.argv[3].encode()).hex())
else:
    root = Argon2id(salt=bytes(16), length=32, iterations=3, lanes=4, memory_cost=65536).derive("caf\\u00e9 fi".encode())
    h = lambda key, label: HKDF(hashes.SHA256(), 32, None, label.encode()).derive(key).hex()
    print(json.dumps([h(root, "cloister/unlock/v1/passphrase"), h(root, "cloister/verify/v1/passphrase"), h(bytes(32), "cloister/unlock/v1/passkey")]))
`;
const peer = (...words) => {
  const done = spawnSync(python, ["-c", PEER, ...words], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim();
};
const hex = (bytes) => Buffer.from(bytes).toString("hex");

test("the session's process opens what the browser sealed to it, and only with the same session's name", async () => {
  const kek = crypto.getRandomValues(new Uint8Array(32));
  const expected = hex(kek);
  const sealed = await sealToSession(kek, "s-1", toBase64(Buffer.from(peer("public"), "hex")));
  const bytes = hex(fromBase64(sealed));
  assert.equal(bytes.length, 2 * (1120 + 32 + 16));
  assert.equal(peer("open", bytes, "cloister/session-unlock/v1|s-1"), expected);
  assert.equal(hex(kek), "00".repeat(32), "the key is wiped once it is sealed");
  const wrong = spawnSync(python, ["-c", PEER, "open", bytes, "cloister/session-unlock/v1|s-2"], { encoding: "utf8" });
  assert.notEqual(wrong.status, 0);
});

test("an enrolment's two keys arrive in order, bound to its flow", async () => {
  const sealed = await sealEnrolment(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2), "f-1", toBase64(Buffer.from(peer("public"), "hex")));
  assert.equal(peer("open", hex(fromBase64(sealed)), "cloister/enrol/v1|f-1"), "01".repeat(32) + "02".repeat(32));
});

test("browser and Python derive the same keys from a passphrase, however its accents were typed", async () => {
  const [kek, verifier, passkey] = JSON.parse(peer("derive"));
  const password = new TextEncoder().encode("cafe\u0301 \ufb01".normalize("NFKC"));
  const root = await argon2id({ password, salt: new Uint8Array(16), iterations: 3, memorySize: 65536, parallelism: 4, hashLength: 32, outputType: "binary" });
  const ours = await passphraseSecrets(root);
  assert.equal(hex(ours.kek), kek);
  assert.equal(hex(ours.verifier), verifier);
  assert.equal(hex(await passkeyKek(new Uint8Array(32))), passkey);
});

test("a door that asks for a cheap derivation is not obeyed", () => {
  assert.throws(() => checkCost({ passes: 1, memory_kib: 65536, lanes: 4 }), Failure);
  assert.throws(() => checkCost({ passes: 3, memory_kib: 8, lanes: 4 }), Failure);
  assert.throws(() => checkCost({}), Failure);
  checkCost({ passes: 3, memory_kib: 65536, lanes: 4 });
});

test("bytes survive base64 and base64url", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  assert.deepEqual(fromBase64Url(toBase64Url(bytes)), bytes);
});
