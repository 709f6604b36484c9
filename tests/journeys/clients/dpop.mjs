// npm openid-client as it comes: a program's token bound to a key (RFC 9449), and a FHIR request with it. argv: base, client id, secret.

import * as client from "openid-client";

const [base, id, secret] = process.argv.slice(2);
const config = await client.discovery(new URL(base), id, undefined, client.ClientSecretBasic(secret));
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const tokens = await client.clientCredentialsGrant(config, { scope: "system/Patient.rs", session_label: "bound" }, { DPoP });
const seen = [];
for (let turn = 0; turn < 2; turn += 1) {
  const address = new URL("/fhir/R4/Patient?_count=1", base);
  const answer = await client.fetchProtectedResource(config, tokens.access_token, address, "GET", null, undefined, { DPoP });
  seen.push([answer.status, (await answer.json()).resourceType]);
}
console.log(JSON.stringify({ type: tokens.token_type, seen }));
