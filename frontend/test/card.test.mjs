// The page's part of a card, docs/spec/zones.md 5.1: opened and derived as the vectors say.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { argon2id } from "hash-wasm";
import { cardSecrets, offered } from "../src/card.js";

const { shared, cases } = JSON.parse(readFileSync(new URL("../../docs/spec/vectors/cards.json", import.meta.url)));
const whole = (value) => {
  if (typeof value === "string") return value.startsWith("@") ? shared[value] : value;
  if (Array.isArray(value)) return value.map(whole);
  return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, whole(one)])) : value;
};
const of = (format, good) => cases.filter((one) => one.format === format && (one.expect === "success") === good).map(whole);
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const base64 = (text) => Buffer.from(text, "hex").toString("base64");

for (const { case: name, given, gives } of of("card", true)) {
  test(`${name}: the same key and verifier`, async () => {
    const derive = (cost) => {
      assert.deepEqual(Object.keys(cost).sort(), ["lanes", "memory_kib", "passes", "salt"]);
      const password = new TextEncoder().encode(given.passphrase.normalize("NFKC"));
      const options = { iterations: cost.passes, memorySize: cost.memory_kib, parallelism: cost.lanes, hashLength: 32, outputType: "binary" };
      return argon2id({ password, salt: bytes(cost.salt), ...options });
    };
    const { kek, verifier } = await cardSecrets(bytes(gives.half), given.params, derive);
    assert.equal(hex(kek), gives.kek);
    assert.equal(hex(verifier), gives.verifier);
  });
}

test("the offer that the inserted card opens is found among others, and no other card finds one", async () => {
  const [{ given, gives }] = of("card-offer", true);
  const wrong = of("card-offer", false).find((one) => one.given.key === given.key).given.sealed;
  assert.deepEqual(await offered([wrong, given.sealed].map(base64), ["00".repeat(32), given.key]), gives);
  await assert.rejects(offered([given.sealed, wrong].map(base64), ["00".repeat(32)]), { reason: "other-card" });
});
