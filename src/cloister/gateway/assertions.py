"""Client assertions: a program signs who it is, instead of sending a secret. RFC 7523, HL7 SMART App Launch 2 (asymmetric).

Taken once (`jti`), for five minutes at most, for this very endpoint, under RS384 or ES384 and a key that was registered.
The key decides the algorithm. Nothing that opens a record is in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloister.base.errors import CloisterError, Invalid
from cloister.zones import algorithms

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_MAX: Final = timedelta(minutes=5)
SKEW: Final = timedelta(seconds=10)
CHARACTERS_MAX: Final = 8192
ALGORITHMS: Final = {"RS384": "RSA", "ES384": "EC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """An assertion as it was read, not yet proved."""

    client: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What must be remembered so that it is not taken twice."""

    digest: bytes
    until: datetime


def read_assertion(text: str) -> Assertion:
    """Raises Invalid when it is no JWS in compact form, or says too little."""
    parts = text.split(".")
    try:
        if len(parts) != 3 or len(text) > CHARACTERS_MAX or not text.isascii():
            raise ValueError
        header, claims = json.loads(_raw(parts[0])), json.loads(_raw(parts[1]))
        signature = _raw(parts[2])
        if not isinstance(header, dict) or not isinstance(claims, dict) or not isinstance(claims.get("sub"), str):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise _refused("The client assertion cannot be read.") from None
    return Assertion(
        client=claims["sub"], header=header, claims=claims, signed=f"{parts[0]}.{parts[1]}".encode("ascii"), signature=signature
    )


def proved_assertion(assertion: Assertion, keys: Sequence[Mapping[str, Any]], audiences: Sequence[str], *, now: datetime) -> Proved:
    """Raises Invalid, saying why, unless one of these keys signed it for us and for now."""
    header, claims = assertion.header, assertion.claims
    wanted = ALGORITHMS.get(str(header.get("alg")))
    if wanted is None or "crit" in header:
        raise _refused("The assertion's algorithm is not taken.", "Sign with RS384 or ES384.")
    named = [key for key in keys if key.get("kty") == wanted and ("kid" not in header or header["kid"] == key.get("kid", header["kid"]))]
    if not any(_signed_by(key, assertion) for key in named):
        raise _refused("No registered key of this client signed the assertion.", "Register its JWK: cloister program register.")
    if claims.get("iss") != assertion.client:
        raise _refused("'iss' and 'sub' must both be the client id.")
    audience = claims.get("aud")
    if not set(audiences) & set(audience if isinstance(audience, list) else [audience]):
        raise _refused("The assertion is for somebody else.", f"Set 'aud' to {audiences[0]}.")
    ends, jti = claims.get("exp"), claims.get("jti")
    if not isinstance(ends, int | float) or isinstance(ends, bool) or not isinstance(jti, str) or not 0 < len(jti) <= 256:
        raise _refused("The assertion needs 'exp' and 'jti'.")
    try:
        until = datetime.fromtimestamp(ends, UTC)
    except (ValueError, OverflowError, OSError):
        raise _refused("'exp' is no moment.") from None
    if until <= now - SKEW:
        raise _refused("The assertion has expired.", "Make a new one for each request, and set the clock.")
    if until > now + LIFE_MAX + SKEW:
        raise _refused("The assertion lives too long.", "Set 'exp' to at most five minutes from now.")
    begins = claims.get("nbf", 0)
    if not isinstance(begins, int | float) or begins > (now + SKEW).timestamp():
        raise _refused("The assertion is not valid yet.")
    return Proved(digest=hashlib.sha256(f"{assertion.client}|{jti}".encode()).digest(), until=until + SKEW)


def made_assertion(key: Any, jwk: Mapping[str, str], client: str, audience: str, jti: str, *, now: datetime) -> str:
    """A client's side: an assertion that holds for a minute."""
    header = {"alg": jwk["alg"], "typ": "JWT"}
    claims = {"iss": client, "sub": client, "aud": audience, "exp": int(now.timestamp()) + 60, "jti": jti}
    signed = f"{_text(json.dumps(header).encode())}.{_text(json.dumps(claims).encode())}"
    return f"{signed}.{_text(algorithms.program_sign(key, signed.encode('ascii')))}"


def _signed_by(key: Mapping[str, Any], assertion: Assertion) -> bool:
    try:
        algorithms.program_verify(key, assertion.signed, assertion.signature)
    except CloisterError:  # of another key, or a key that cannot be read: the next may fit
        return False
    return True


def _refused(text: str, hint: str = "") -> Invalid:
    return Invalid(text, hint=hint, reason="assertion")


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
