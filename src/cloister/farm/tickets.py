"""Tickets: the broker's signed word that routes one browser to one session. JWT with EdDSA (RFC 7519, RFC 8037).

Envoy checks the signature, the times and the audience; the session checks `sid` and `epoch` against its own.
A ticket lives at most TICKET_SECONDS_MAX; ending the process is the real revocation. Holds no key of a person.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
    `pace`: how fast and how much this client may ask (gateway, pace.py). `jkt`: the thumbprint of the key that must prove each
    request (proofs.py); in the JWT it is `cnf.jkt` (RFC 9449 6.1, RFC 7800). `x5t`: the thumbprint of the certificate that the
    connection must show; in the JWT it is `cnf["x5t#S256"]` (RFC 8705 3.1).
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
    jkt: str = ""
    x5t: str = ""
    host: str = ""  # address and port of the server's ingress: the edge routes by it, where there are several machines
    iss: str = ISSUER
    aud: str = AUDIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whom a ticket is for besides the person: a client (RFC 6749), what narrows it, and whose key must prove its use.

    A browser's has only the key, and the card's certificate where one was shown.
    """

    client: str = ""
    scope: str = ""
    grant: str = ""
    pace: str = ""
    jkt: str = ""
    x5t: str = ""


BROWSER: Final = Bearer()


CONFIRMATION: Final = {"jkt": "jkt", "x5t": "x5t#S256"}  # our names, and those of `cnf` (RFC 7800)
REQUIRED: Final = frozenset({"sid", "dst", "person"})  # the others are left out when they say nothing


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _said(one: TicketClaims | Bearer) -> dict[str, Any]:
    """Its fields as they are: flat, so that nothing is to be copied deeply."""
    return {name: getattr(one, name) for name in one.__slots__}


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
        self._key = algorithms.SignPrivate(seed.reveal())
        self._clock = clock
        public = self._key.public
        self._keys = [public, *(key for key in earlier_keys if key != public)]
        self._header = _text(json.dumps({"alg": "EdDSA", "kid": key_id(public), "typ": "JWT"}, separators=(",", ":")).encode("ascii"))

    def issue(
        self, *, session: str, destination: str, slot: int, person: str, epoch: int,
        seconds: int = TICKET_SECONDS_MAX, to: Bearer = BROWSER, host: str = "",
    ) -> str:  # fmt: skip
        now = int(self._clock().timestamp()) - CLOCK_SKEW_SECONDS
        life = min(seconds, TICKET_SECONDS_MAX)
        where = {"dst": destination, "slot": slot, "host": host}
        claims = TicketClaims(sid=session, person=person, epoch=epoch, iat=now, exp=now + life, **where, **_said(to))  # type: ignore[arg-type]
        said = {name: value for name, value in _said(claims).items() if value != "" or name in REQUIRED}
        confirmed = {member: said.pop(name) for name, member in CONFIRMATION.items() if name in said}
        return self.signed({**said, "cnf": confirmed} if confirmed else said)

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Any claims as a JWT under the tickets' key, such as an id_token; `aud` says what it is for."""
        body = _text(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())
        signed = f"{self._header}.{body}"
        return f"{signed}.{_text(self._key.sign(signed.encode('ascii')))}"

    @staticmethod
    def claims_of(payload: str) -> TicketClaims:
        """What a ticket's payload says (base64url), once somebody has verified it; raises Corrupt for another form."""
        return _claims_of(payload)

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
    claims = _claims_of(parts[1])
    if claims.iss != ISSUER or claims.aud != AUDIENCE:
        raise Denied("This ticket is for something else.", reason="ticket-audience")
    if not claims.iat - CLOCK_SKEW_SECONDS <= now.timestamp() < claims.exp:
        raise Denied("This ticket has expired.", reason="ticket-expired", hint="Sign in again.")
    return claims


def _claims_of(payload: str) -> TicketClaims:
    try:
        said = json.loads(_raw(payload))
        confirmed = said.pop("cnf", {})
        if said.keys() & CONFIRMATION.keys() or confirmed.keys() - set(CONFIRMATION.values()):
            raise TypeError
        claims = TicketClaims(**said, **{name: confirmed[member] for name, member in CONFIRMATION.items() if member in confirmed})
        if not all(type(getattr(claims, field.name)).__name__ == field.type for field in fields(TicketClaims)):
            raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise Corrupt("This ticket says too little or too much.", reason="ticket-form") from None
    return claims
