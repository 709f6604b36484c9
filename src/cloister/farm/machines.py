"""Machines of the estate: what they are called, how one joins by a one-time token, and when a certificate is made anew.

Pure. A token carries its own secret and the fingerprint of the estate's authority, so that the joining machine knows whom it
talks to before it says anything. The estate keeps the secret's hash only.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.base.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.machines import certificates
from cloister.zones import algorithms

TOKEN_LIFE: Final = timedelta(minutes=15)
TOKEN_LIFE_MAX: Final = timedelta(hours=24)
CERTIFICATE_LIFE: Final = timedelta(days=3)
RENEWED_AFTER: Final = 1 / 3  # of its life: two thirds are left to find out why it was not renewed
CLOCK_SKEW_MAX: Final = timedelta(minutes=2)
DOMAIN: Final = "cloister.internal"  # ICANN keeps .internal for private names
PREFIX: Final = "join1"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Kind(StrEnum):
    """A controller is also a server, and an edge."""

    SERVER = "server"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """One machine's way in. Never shown again: `secret` is in nobody's keeping but the token's."""

    id: str
    secret: Secret = field(repr=False)
    authority: bytes  # SHA-256 of the authority's certificate

    def text(self) -> str:
        return ".".join((PREFIX, self.id, _text(self.secret.reveal()), _text(self.authority)))

    @property
    def hash(self) -> bytes:
        return algorithms.sha256(b"cloister/join/v1|" + self.secret.reveal())

    def password(self, role: str) -> str:
        """The password of the machine's own database role: both ends make it from the token, nobody sends it."""
        return _text(algorithms.hkdf(self.secret.reveal(), f"cloister/join/v1/{role}"))


def new_token(authority_pem: bytes) -> JoinToken:
    return JoinToken(id=secrets.token_hex(6), secret=Secret(secrets.token_bytes(24)), authority=certificates.fingerprint(authority_pem))


def read_token(text: str) -> JoinToken:
    """Invalid for what is no token, or not all of one."""
    try:
        prefix, id, secret, authority = text.strip().split(".")
        found = JoinToken(id=id, secret=Secret(_raw(secret)), authority=_raw(authority))
        if prefix != PREFIX or not re.fullmatch(r"[0-9a-f]{12}", id) or len(found.secret.reveal()) != 24 or len(found.authority) != 32:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid(
            "This is no join token.", hint="Copy the whole line that `cloister server token` printed.", reason="join-token"
        ) from None
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the estate keeps of a token."""

    hash: bytes
    kind: Kind
    expires: datetime
    used: datetime | None
    used_by: str
    used_key: bytes


def judged(kept: Kept | None, hashed: bytes, key: bytes, *, now: datetime) -> Kept:
    """The token, when it may be used by the machine with this key; each refusal says what to do."""
    again = "Make a new one on a controller: cloister server token."
    if kept is None or not algorithms.same(kept.hash, hashed):
        raise Denied("This token is not known here.", hint=again, reason="join-token")
    if kept.used is not None and kept.used_key != key:
        raise Denied(f"This token was used by '{kept.used_by}' already.", hint=again, reason="join-token-used")
    if now >= kept.expires:
        raise Denied(f"This token expired {minutes(now - kept.expires)} ago.", hint=again, reason="join-token-expired")
    return kept


def checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"'{name[:60]}' is no name for a machine.",
            hint="Use 1 to 40 small letters, digits, hyphens: --name server-2.",
            reason="name",
        )
    return name


def check_clock(theirs: datetime, *, now: datetime) -> None:
    """Certificates of days and audit entries need clocks that agree."""
    off = theirs - now
    if abs(off) > CLOCK_SKEW_MAX:
        raise Invalid(
            f"This machine's clock is {minutes(abs(off))} {'ahead of' if off > timedelta(0) else 'behind'} the controller's.",
            hint="Set it by the network, on both: timedatectl set-ntp true",
            reason="clock",
        )


def minutes(span: timedelta) -> str:
    whole = max(0, int(span.total_seconds()))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def names_of(machine: str, kind: Kind) -> tuple[str, ...]:
    """The DNS names of its certificate."""
    own = f"{machine}.{Kind.SERVER}.{DOMAIN}"
    return (own, f"{machine}.{Kind.CONTROLLER}.{DOMAIN}") if kind is Kind.CONTROLLER else (own,)


@dataclass(frozen=True, slots=True)
class Shown:
    """Who a verified certificate says its holder is."""

    machine: str
    kind: Kind
    serial: str
    ends: datetime


def shown(certificate: bytes | None) -> Shown:
    """From a certificate (DER) whose signature TLS has checked; Denied when there is none, or it names no machine."""
    if certificate is None:
        raise Denied("This needs a machine's certificate.", hint="Join first: cloister server join", reason="no-certificate")
    found = certificates.facts(certificate)
    names = [tuple(name.split(".", 2)) for name in found.names]
    kinds = {kind for _, kind, domain in (one for one in names if len(one) == 3) if domain == DOMAIN}
    machine = {one[0] for one in names}
    if len(machine) != 1 or Kind.SERVER not in kinds:
        raise Corrupt("This certificate names no machine.", reason="certificate")
    return Shown(machine.pop(), Kind.CONTROLLER if Kind.CONTROLLER in kinds else Kind.SERVER, found.serial, found.ends)


def known_machine(row: dict[str, object] | None, seen: Shown) -> None:
    """Denied unless the estate knows this machine and this certificate; says which of the two it is."""
    if row is None:
        raise Denied(f"The estate knows no machine '{seen.machine}'.", hint="Join it with a new token.", reason="machine-unknown")
    if row["removed"] is not None:
        raise Denied(f"The machine '{seen.machine}' was removed.", hint="Join it again with a new token.", reason="machine-removed")
    if row["revoked"] is not None or row["kind"] != seen.kind:
        raise Denied("This certificate was replaced or taken back.", hint="Join the machine again.", reason="certificate-revoked")


def due(begins: datetime, ends: datetime, *, now: datetime) -> bool:
    """Whether a certificate is to be renewed."""
    return now >= begins + (ends - begins) * RENEWED_AFTER


def check_free(name: str, row: dict[str, object] | None, key: bytes) -> None:
    """A name that a live machine has is not given to another key."""
    if row is not None and row["removed"] is None and row["key"] != key:
        raise Conflict(
            f"There is a machine '{name}' already.",
            hint=f"Choose another --name, or remove the old one first: cloister server remove {name}",
            reason="machine-name",
        )


def check_exists(name: str, found: bool) -> None:
    if not found:
        raise NotFound(f"There is no machine '{name[:60]}'.", hint="See `cloister server machines`.", reason="machine-unknown")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
