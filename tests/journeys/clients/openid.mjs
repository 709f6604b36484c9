// npm openid-client as it comes: discovery, the code flow with PKCE, the id_token and userinfo. argv: base, client id, redirect, step file.

import { createInterface } from "node:readline";
import * as client from "openid-client";

const [base, id, redirect, algorithm] = process.argv.slice(2);
const config = await client.discovery(new URL(base), id, { id_token_signed_response_alg: algorithm }, client.None());
const verifier = client.randomPKCECodeVerifier();
const nonce = client.randomNonce();
const state = client.randomState();
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirect,
  scope: "openid profile",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  nonce,
  state,
});
console.log(JSON.stringify({ url: url.href }));
for await (const line of createInterface({ input: process.stdin })) {
  const tokens = await client.authorizationCodeGrant(config, new URL(line), { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true });
  const claims = tokens.claims();
  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  console.log(JSON.stringify({ claims, info, scope: tokens.scope, type: tokens.token_type, access: tokens.access_token }));
  process.exit(0);
}
