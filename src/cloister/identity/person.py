"""A person or program of the trust, and the public side of the ways in which they prove themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Kinds of authenticator; each has an unlocker of the same kind and id (zones room)."""

    PASSPHRASE = "passphrase"
    PASSKEY = "passkey"
    SERVICE = "service"
    CARD = "card"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who signs in: a person, or a program with `role` 'program'."""

    id: str
    sign_in: str
    name: str
    kind: str
    role: str
    hospital: str | None
    language: str
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """What the door checks (NIST SP 800-63B): a verifier's hash or a public credential, never a sealed key."""

    id: str
    person: str
    kind: str
    params: dict[str, Any]
    verifier: bytes | None = field(default=None, repr=False)
    credential_id: bytes | None = None
    credential_public: bytes | None = None
    sign_count: int = 0
    created: datetime | None = None
    last_used: datetime | None = None
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about a sign-in name; `person` is None for a name that nobody has."""

    sign_in: str
    person: Person | None
    authenticators: tuple[Authenticator, ...]
