// A small web application of the hospital with npm openid-client: "/" sends to the trust, "/back" greets whom the trust names.
// argv: port, the trust's base address, client id. Keeps one visitor; says "ready" when it listens.

import http from "node:http";
import * as client from "openid-client";

const [port, base, id] = process.argv.slice(2);
const here = `http://127.0.0.1:${port}`;
const config = await client.discovery(new URL(base), id, { id_token_signed_response_alg: "RS256" }, client.None());
let visit = null;

async function answer(request, response) {
  const url = new URL(request.url, here);
  if (url.pathname === "/") {
    visit = { verifier: client.randomPKCECodeVerifier(), nonce: client.randomNonce(), state: client.randomState() };
    const to = client.buildAuthorizationUrl(config, {
      redirect_uri: `${here}/back`,
      scope: "openid profile",
      code_challenge: await client.calculatePKCECodeChallenge(visit.verifier),
      code_challenge_method: "S256",
      nonce: visit.nonce,
      state: visit.state,
    });
    return response.writeHead(303, { location: to.href }).end();
  }
  if (url.pathname !== "/back") return response.writeHead(404).end();
  const checks = { pkceCodeVerifier: visit.verifier, expectedNonce: visit.nonce, expectedState: visit.state, idTokenExpected: true };
  const tokens = await client.authorizationCodeGrant(config, url, checks);
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(`Good morning, ${info.name} (${info.preferred_username})`);
}

http
  .createServer((request, response) => {
    answer(request, response).catch((fault) => response.writeHead(403, { "content-type": "text/plain" }).end(`${fault.error ?? fault.code ?? fault.name}`));
  })
  .listen(Number(port), "127.0.0.1", () => console.log("ready"));
