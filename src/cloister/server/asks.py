"""A request as the shell sees it: what a verified ticket says, and what of the headers counts. Read once, before anything is decided.

Envoy hands on the verified ticket's claims in x-cloister-ticket and strips what a client sends under that name.
"""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from cloister.base.errors import Corrupt
from cloister.farm import Tickets

Scope = MutableMapping[str, Any]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FHIR: Final = "/fhir/"
DPOP: Final = b"DPoP "
# A verified ticket's payload, written by Envoy; what a client sends under this name was removed before.
TICKET_HEADER: Final = b"x-cloister-ticket"
TICKETS_KEPT: Final = 64
# SHA-256 of the certificate that this connection shows, in hexadecimal; Envoy's word, at the cards' name only.
CARD_HEADER: Final = b"x-cloister-card"
PASS: Final = "__Host-pass"
PASS_MARK: Final = PASS.encode() + b"="


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified ticket says of a client: see farm/tickets.py. All empty for a browser."""

    client: str = ""
    scope: str = ""
    grant: str = ""
    pace: str = ""
    jkt: str = ""
    person: str = ""
    x5t: str = ""

    @property
    def narrow(self) -> bool:
        return bool(self.scope or self.grant)


NO_TOKEN: Final = Token()


class Ask(Struct, frozen=True):
    """What the shell needs to know of a request. A Struct, because one is made for each, and a frozen dataclass takes ten times as long."""

    path: str
    method: str
    sid: str
    epoch: int
    expires: int
    page: bool  # a browser wants a page
    htmx: bool
    from_elsewhere: bool  # another site caused it (Fetch Metadata)
    token: Token = NO_TOKEN
    proof: str = ""  # DPoP (RFC 9449)
    target: bytes = b""  # path and query
    address: str = ""  # what a proof is for: scheme, host and path as the client sees them
    bound_token: str = ""  # what came as `Authorization: DPoP`, which Envoy has verified and passes on
    elsewhere: bool = False  # a page of some origin asks, an app's perhaps (Fetch, 3.2)
    card: str = ""  # thumbprint of the certificate that the connection shows, as a ticket names it
    quiet: bool = False  # the page asks by itself: nobody's work, so it does not keep the session unlocked
    word: str = ""  # a pass that came along as a cookie

    @property
    def plain(self) -> str:
        return self.target.split(b"?", 1)[0].decode("latin-1")

    def __repr__(self) -> str:  # without the token
        return f"Ask({self.method}, epoch {self.epoch})"


def read_ask(scope: Scope) -> Ask:
    ticket = accept = site = htmx = quiet = host = given = origin = card = cookie = b""
    proofs: list[bytes] = []
    for name, value in scope["headers"]:
        if name == TICKET_HEADER:
            ticket = b"*" if ticket else value  # twice is nobody's
        elif name == CARD_HEADER:
            card = b"*" if card else value
        elif name == b"accept":
            accept = value
        elif name == b"sec-fetch-site":
            site = value
        elif name == b"hx-request":
            htmx = value
        elif name == b"x-quiet":
            quiet = value
        elif name == b"dpop":
            proofs.append(value)
        elif name == b"authorization":
            given = value
        elif name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"cookie":
            cookie = value
    path, method = scope["path"], scope["method"]
    sid, epoch, expires, token = _claims(ticket)
    unsafe = method not in SAFE_METHODS
    return Ask(
        path=path,
        method=method,
        sid=sid,
        epoch=epoch,
        expires=expires,
        page=b"text/html" in accept and not path.startswith(FHIR),
        htmx=bool(htmx),
        from_elsewhere=unsafe and site not in (b"", b"same-origin", b"none"),
        token=token,
        proof=proofs[0].decode("latin-1") if len(proofs) == 1 else "",  # twice is none (RFC 9449 4.3, point 1)
        target=_raw_path(scope) + (b"?" + query if (query := scope.get("query_string", b"")) else b""),
        address=f"https://{host.decode('latin-1')}{_raw_path(scope).decode('latin-1')}",
        bound_token=given[len(DPOP) :].decode("latin-1") if given.startswith(DPOP) else "",
        quiet=bool(quiet),
        elsewhere=bool(origin),
        card=_thumbprint(card) if card else "",
        word=_pass_in(cookie) if PASS_MARK in cookie else "",
    )


@lru_cache(maxsize=TICKETS_KEPT)
def _claims(payload: bytes) -> tuple[str, int, int, Token]:
    """Session, epoch, end and the rest; the same few tickets come with every request. Nobody's for what is no ticket's payload."""
    try:
        claims = Tickets.claims_of(payload.decode("ascii"))
    except (Corrupt, UnicodeDecodeError):
        return "", 0, 0, NO_TOKEN
    return claims.sid, claims.epoch, claims.exp, Token(**{field.name: getattr(claims, field.name) for field in fields(Token)})


def _pass_in(cookie: bytes) -> str:
    """RFC 6265 4.2; two of this name are none."""
    found = [one.strip() for one in cookie.split(b";") if one.strip().startswith(PASS_MARK)]
    return found[0][len(PASS_MARK) :].decode("latin-1") if len(found) == 1 else ""


def _thumbprint(hexadecimal: bytes) -> str:
    """As a ticket names it (RFC 8705 3.1): base64url."""
    try:
        return base64.urlsafe_b64encode(bytes.fromhex(hexadecimal.decode("ascii"))).rstrip(b"=").decode()
    except ValueError:
        return "*"  # nobody's


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.split(b"?", 1)[0]
