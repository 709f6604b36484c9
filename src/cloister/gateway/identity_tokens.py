"""id_tokens for apps of this and other hospitals' people: OpenID Connect Core 2, signed RS256 (every client knows it) by joserfc.

The key is of its own: whoever verifies tickets never sees it, and an id_token is no ticket.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from cloister.base.secret import Secret
from cloister.identity import Person

SECONDS: Final = 600
RSA_BITS: Final = 3072
ALGORITHM: Final = "RS256"
FHIR_PATH: Final = "/fhir/R4"


def new_keys() -> bytes:
    """A set of one private key (RFC 7517), made once per trust."""
    made = KeySet([RSAKey.generate_key(RSA_BITS, private=True, auto_kid=True)])
    return json.dumps(made.as_dict(private=True)).encode()


class IdentityKey:
    def __init__(self, keys: Secret) -> None:
        self._key = KeySet.import_key_set(json.loads(keys.reveal())).keys[0]
        public = {**self._key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}
        self.jwks: dict[str, list[dict[str, Any]]] = {"keys": [public]}

    def token(self, person: Person, *, issuer: str, client: str, nonce: str, words: Sequence[str], now: datetime) -> str:
        moment = int(now.timestamp())
        claims = {**claims_of(person, issuer, words), "iss": issuer, "aud": client, "iat": moment, "exp": moment + SECONDS}
        if nonce:
            claims["nonce"] = nonce
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid, "typ": "JWT"}, claims, self._key, algorithms=[ALGORITHM])

    def __repr__(self) -> str:
        return "IdentityKey()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Keys are not pickled.")


def claims_of(person: Person, issuer: str, words: Sequence[str]) -> dict[str, Any]:
    """Who it is, as far as the app was allowed to learn it (OpenID Connect Core 5.4; SMART App Launch 2, fhirUser)."""
    claims: dict[str, Any] = {"sub": person.id}
    if "fhirUser" in words or "profile" in words:
        claims["fhirUser"] = f"{issuer}{FHIR_PATH}/Practitioner/{person.id}"
    if "profile" in words:
        claims |= {"name": person.name, "preferred_username": person.sign_in, "locale": person.language}
    return claims
