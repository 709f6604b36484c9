"""Tickets: the broker's signed word that routes one browser to one session. JWT with EdDSA (RFC 7519, RFC 8037).

Envoy checks the signature, the times and the audience; the session checks `sid` and `epoch` against its own.
A ticket lives at most TICKET_SECONDS_MAX; ending the process is the real revocation. Holds no key of a person.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Corrupt, Denied
from cloister.base.secret import Secret
from cloister.zones import algorithms

ISSUER: Final = "cloister"
AUDIENCE: Final = "cloister-session"
TICKET_SECONDS_MAX: Final = 600
CLOCK_SKEW_SECONDS: Final = 5  # issued a little in the past, for an edge whose clock is a little behind
TICKET_CHARACTERS_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClaims:
    """What a ticket says; registered claim names as in RFC 7519 section 4.1, `scope` and `client` (client_id) as in RFC 9068.

    A browser's ticket has no client and no scope. `grant`: what the person allowed an app; the session knows the rest of it.
    `pace`: how fast and how much this client may ask (gateway, pace.py).
    """

    sid: str
    dst: str  # the slot's socket: Envoy routes by it
    slot: int
    person: str
    epoch: int
    iat: int
    exp: int
    client: str = ""
    scope: str = ""
    grant: str = ""
    pace: str = ""
    iss: str = ISSUER
    aud: str = AUDIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whom a ticket is for besides the person: a client (RFC 6749), and what narrows it. Empty for a browser."""

    client: str = ""
    scope: str = ""
    grant: str = ""
    pace: str = ""


BROWSER: Final = Bearer()


REQUIRED: Final = frozenset({"sid", "dst", "person"})  # the others are left out when they say nothing


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def key_id(public: bytes) -> str:
    """The key's thumbprint (RFC 7638 with the members of RFC 8037 section 2)."""
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _text(public)}, separators=(",", ":"))
    return _text(algorithms.sha256(members.encode("ascii")))


def jwk(public: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _text(public), "kid": key_id(public), "alg": "EdDSA", "use": "sig"}


class Tickets:
    """Issues tickets with one key; publishes it and the keys before it, so that a rotation loses nobody."""

    def __init__(self, seed: Secret, *, clock: Clock, earlier_keys: Sequence[bytes] = ()) -> None:
        self._seed = seed
        self._clock = clock
        public = algorithms.sign_public(seed.reveal())
        self._keys = [public, *(key for key in earlier_keys if key != public)]
        self._header = _text(json.dumps({"alg": "EdDSA", "kid": key_id(public), "typ": "JWT"}, separators=(",", ":")).encode("ascii"))

    def issue(
        self, *, session: str, destination: str, slot: int, person: str, epoch: int, seconds: int = TICKET_SECONDS_MAX, to: Bearer = BROWSER
    ) -> str:
        now = int(self._clock().timestamp()) - CLOCK_SKEW_SECONDS
        life = min(seconds, TICKET_SECONDS_MAX)
        claims = TicketClaims(sid=session, dst=destination, slot=slot, person=person, epoch=epoch, iat=now, exp=now + life, **asdict(to))
        return self.signed({name: value for name, value in asdict(claims).items() if value != "" or name in REQUIRED})

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Any claims as a JWT under the tickets' key, such as an id_token; `aud` says what it is for."""
        body = _text(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())
        signed = f"{self._header}.{body}"
        return f"{signed}.{_text(algorithms.sign(self._seed.reveal(), signed.encode('ascii')))}"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """RFC 7517 section 5, as Envoy fetches it."""
        return {"keys": [jwk(key) for key in self._keys]}


def verified_ticket(ticket: str, jwks: Mapping[str, Any], *, now: datetime) -> TicketClaims:
    """The claims, if a published key signed them and they are of today; raises Corrupt or Denied otherwise."""
    parts = ticket.split(".")
    if len(parts) != 3 or len(ticket) > TICKET_CHARACTERS_MAX or not ticket.isascii():
        raise Corrupt("This is not a ticket.", reason="ticket-form")
    try:
        header = json.loads(_raw(parts[0]))
        keys = {entry["kid"]: _raw(entry["x"]) for entry in jwks["keys"]}
        signature = _raw(parts[2])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Corrupt("This is not a ticket.", reason="ticket-form") from None
    if not isinstance(header, dict) or header.get("alg") != "EdDSA" or header.get("kid") not in keys:
        raise Corrupt("This ticket names no key of ours.", reason="ticket-key")
    algorithms.verify(keys[header["kid"]], f"{parts[0]}.{parts[1]}".encode("ascii"), signature)
    try:
        claims = TicketClaims(**json.loads(_raw(parts[1])))
        if not all(type(getattr(claims, field.name)).__name__ == field.type for field in fields(TicketClaims)):
            raise TypeError
    except (ValueError, TypeError, binascii.Error):
        raise Corrupt("This ticket says too little or too much.", reason="ticket-form") from None
    if claims.iss != ISSUER or claims.aud != AUDIENCE:
        raise Denied("This ticket is for something else.", reason="ticket-audience")
    if not claims.iat - CLOCK_SKEW_SECONDS <= now.timestamp() < claims.exp:
        raise Denied("This ticket has expired.", reason="ticket-expired", hint="Sign in again.")
    return claims
