// A real OpenID Connect provider (npm oidc-provider) over https, for tests. Says one line of JSON when it listens.
// argv: port, key file, certificate file, redirect uri, client secret. Accounts sign in by name by the query or a cookie `account`.

import { readFileSync } from "node:fs";
import https from "node:https";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import Provider from "oidc-provider";

const [port, key, cert, redirect, secret] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: [{ client_id: "cloister", client_secret: secret, redirect_uris: [redirect], response_types: ["code"], grant_types: ["authorization_code"] }],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "one" }] },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name === "login") {
    const account = ctx.query.account ?? ctx.cookies.get("account", { signed: false }) ?? "claire";
    return provider.interactionFinished(ctx.req, ctx.res, account === "none" ? { error: "access_denied" } : { login: { accountId: account } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope("openid");
  return provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } });
});
https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, provider.callback()).listen(Number(port), "127.0.0.1", () => {
  console.log(JSON.stringify({ issuer }));
});
