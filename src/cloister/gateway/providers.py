"""People who come from another OpenID Connect provider: the hospital's or the nation's. Code flow with PKCE; nothing else.

OpenID Connect Core 3.1, RFC 7636, RFC 9207. The issuer is compared letter by letter, the nonce and the browser's own cookie tie the answer
to who asked, and a subject is somebody only if an operator wrote it down. The provider proves; it opens no key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import ssl
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import httpcore  # noqa: F401  httpx would import it at its first request, when this process may read no more files
import httpcore._backends.auto  # noqa: F401
import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cloister.base.clock import Clock
from cloister.base.errors import Denied, NotFound, Unavailable
from cloister.base.secret import Secret
from cloister.gateway.kept import DoorKey, Kept, Queries

PROVIDERS: Final = "select id, name from estate.provider order by name, id limit 20"
PROVIDER: Final = "select id, name, issuer, client, sealed, aal, ca from estate.provider where id = $1"
SUBJECT: Final = """
    select p.sign_in from estate.provider_subject s join trust.person p on p.id = s.person
     where s.provider = $1 and s.subject = $2 and p.kind = 'person' and not p.disabled"""
ASKED: Final = "provider-asked"
ASKED_LIFE: Final = timedelta(minutes=10)
METADATA_LIFE: Final = timedelta(minutes=10)
SECONDS_MAX: Final = 10.0
ALGORITHMS: Final = ["RS256", "PS256", "ES256"]
SKEW_SECONDS: Final = 60
AGE_SECONDS_MAX: Final = 600
BACK_PATH: Final = "/login/back"
LABEL: Final = "provider"
ANSWER_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    id: str
    name: str
    issuer: str
    client: str
    secret: Secret | None = field(repr=False)
    aal: int
    ca: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the provider says of itself (OpenID Connect Discovery 3), as far as it is used."""

    authorization_endpoint: str
    token_endpoint: str
    keys: Any
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """Where a browser goes to prove itself elsewhere, and the cookie by which it is known again."""

    to: str
    cookie: str


sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # httpcore asks for it at each request, and does without


class Providers:
    def __init__(self, queries: Queries, kept: Kept, door_secret: Secret, base_url: str, clock: Clock) -> None:
        self._queries = queries
        self._kept = kept
        self._key = DoorKey(door_secret, LABEL)
        self._back = f"{base_url}{BACK_PATH}"
        self._clock = clock
        self._metadata: dict[str, Metadata] = {}

    async def all(self) -> list[dict[str, str]]:
        return [dict(row) for row in await self._queries.fetch(PROVIDERS)]

    async def begin(self, id: str) -> Coming:
        provider = await self._provider(id)
        metadata = await self._known(provider)
        verifier, nonce, cookie = secrets.token_urlsafe(48), secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        state = await self._kept.keep(ASKED, {"provider": id, "verifier": verifier, "nonce": nonce, "cookie": _hash(cookie)}, ASKED_LIFE)
        asked = {
            "response_type": "code", "client_id": provider.client, "redirect_uri": self._back, "scope": "openid", "state": state,
            "nonce": nonce, "code_challenge": _hash(verifier), "code_challenge_method": "S256",
        }  # fmt: skip
        joined = "&" if "?" in metadata.authorization_endpoint else "?"
        return Coming(to=f"{metadata.authorization_endpoint}{joined}{urlencode(asked)}", cookie=cookie)

    async def back(self, answer: dict[str, str], cookie: str) -> tuple[str, Provider]:
        """The sign-in name of whoever came back, and from where; raises Denied with a reason for the audit log."""
        asked = await self._kept.take(ASKED, answer.get("state", ""))
        if asked is None or not hmac.compare_digest(_hash(cookie), str(asked["cookie"])):
            raise Denied("This took too long, or was begun elsewhere.", hint="Start again.", reason="provider-state")
        provider = await self._provider(str(asked["provider"]))
        if answer.get("iss", provider.issuer) != provider.issuer:  # RFC 9207 2.4
            raise Denied("Another provider answered.", hint="Start again.", reason="provider-issuer")
        if "code" not in answer:
            raise Denied("The provider did not let you in.", hint="Sign in another way.", reason="provider-refused")
        token = await self._exchanged(provider, answer["code"], str(asked["verifier"]))
        claims = await self._verified(provider, token, str(asked["nonce"]))
        row = await self._queries.fetchrow(SUBJECT, provider.id, claims["sub"])
        if row is None:
            raise Denied(
                f"{provider.name} knows you, and nobody here has been linked to that account.",
                hint="Ask IT to link it.",
                reason="provider-unlinked",
            )
        return str(row["sign_in"]), provider

    async def _provider(self, id: str) -> Provider:
        row = await self._queries.fetchrow(PROVIDER, id[:40])
        if row is None:
            raise NotFound("There is no such provider.", hint="Sign in another way.", reason="provider")
        secret = Secret(self._key.open(bytes(row["sealed"]), row["id"].encode())) if row["sealed"] is not None else None
        return Provider(
            id=row["id"], name=row["name"], issuer=row["issuer"], client=row["client"], secret=secret, aal=row["aal"], ca=row["ca"]
        )

    # --- the provider's own side ---------------------------------------------------------------------------------

    async def _known(self, provider: Provider, *, anew: bool = False) -> Metadata:
        found = self._metadata.get(provider.issuer)
        if found is not None and found.until > self._clock() and not anew:
            return found
        body = await self._json(provider, "GET", f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
        if body.get("issuer") != provider.issuer:  # OpenID Connect Discovery 4.3
            raise Denied(
                "The provider names itself otherwise than it was registered.",
                hint="See `cloister provider list`.",
                reason="provider-issuer",
            )
        places = {name: str(body.get(name, "")) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        if not all(place.startswith("https://") for place in places.values()):
            raise Denied("The provider's addresses are not https.", hint="See `cloister provider list`.", reason="provider-metadata")
        keys = KeySet.import_key_set(await self._json(provider, "GET", places["jwks_uri"]))  # type: ignore[arg-type]
        found = Metadata(
            authorization_endpoint=places["authorization_endpoint"], token_endpoint=places["token_endpoint"], keys=keys,
            until=self._clock() + METADATA_LIFE,
        )  # fmt: skip
        self._metadata[provider.issuer] = found
        return found

    async def _exchanged(self, provider: Provider, code: str, verifier: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back, "code_verifier": verifier}
        auth = None
        if provider.secret is None:
            form["client_id"] = provider.client
        else:
            auth = (provider.client, provider.secret.reveal().decode())
        body = await self._json(provider, "POST", (await self._known(provider)).token_endpoint, data=form, auth=auth)
        if not isinstance(body.get("id_token"), str):
            raise Denied("The provider gave no id_token.", hint="Start again.", reason="provider-token")
        return str(body["id_token"])

    async def _verified(self, provider: Provider, token: str, nonce: str) -> dict[str, Any]:
        """OpenID Connect Core 3.1.3.7. An unknown key id may be a new key: the set is fetched once more."""
        try:
            claims = await self._decoded(provider, token, anew=False)
        except (JoseError, ValueError):
            try:
                claims = await self._decoded(provider, token, anew=True)
            except (JoseError, ValueError):
                raise Denied("The provider's word is not signed by its keys.", hint="Start again.", reason="provider-token") from None
        now = self._clock().timestamp()
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        right = (
            claims.get("iss") == provider.issuer
            and provider.client in named
            and (len(named) == 1 or claims.get("azp") == provider.client)
            and isinstance(claims.get("exp"), int | float) and now < claims["exp"] + SKEW_SECONDS
            and isinstance(claims.get("iat"), int | float) and abs(now - claims["iat"]) < AGE_SECONDS_MAX
            and isinstance(claims.get("nonce"), str) and hmac.compare_digest(claims["nonce"].encode(), nonce.encode())
            and isinstance(claims.get("sub"), str) and 0 < len(claims["sub"]) <= 255
        )  # fmt: skip
        if not right:
            raise Denied("The provider's word is not for this sign-in.", hint="Start again.", reason="provider-claims")
        return claims

    async def _decoded(self, provider: Provider, token: str, *, anew: bool) -> dict[str, Any]:
        keys = (await self._known(provider, anew=anew)).keys
        return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)

    async def _json(self, provider: Provider, method: str, url: str, **more: Any) -> dict[str, Any]:
        tls = ssl.create_default_context(cadata=provider.ca) if provider.ca else ssl.create_default_context()
        try:
            async with httpx.AsyncClient(verify=tls, timeout=SECONDS_MAX, follow_redirects=False) as client:
                answer = await client.request(method, url, **more)
            body = answer.json() if len(answer.content) <= ANSWER_BYTES_MAX else None
        except (httpx.HTTPError, ValueError) as lost:
            raise Unavailable(f"{provider.name} does not answer.", hint="Sign in another way.", reason="provider-away") from lost
        if answer.status_code != 200 or not isinstance(body, dict):
            raise Denied(f"{provider.name} refused.", hint="Start again.", reason="provider-refused")
        return body


def _hash(text: str) -> str:
    """RFC 7636 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode("ascii", "replace")).digest()).rstrip(b"=").decode("ascii")
