"""What a keyring is opened from, and what it says of each zone that it holds. Spec: docs/spec/zones.md 13."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class TrustMaterial:
    """The rows as fetched: nothing of it is believed before it is verified."""

    certificates: Iterable[bytes] = ()
    mandates: Iterable[bytes] = ()
    grants: Iterable[bytes] = ()
    zones: Iterable[bytes] = ()
    epochs: Iterable[bytes] = ()
    revoked_certificates: Mapping[bytes, datetime] = field(default_factory=dict)  # hash -> since when
    revoked_grants: Iterable[bytes] = ()
    teams: Iterable[bytes] = ()
    memberships: Iterable[bytes] = ()
    revoked_memberships: Iterable[bytes] = ()
    revocations: Iterable[bytes] = ()  # signed; what the three above say unsigned is believed too, because it only refuses
    countersignatures: Iterable[bytes] = ()


@dataclass(frozen=True, slots=True)
class HeldZone:
    """A zone that this person may open. `rights` is empty for officers who only pass keys on."""

    zone: str
    name: str
    hospital: str
    ward: str | None
    rights: frozenset[str]
    policy: dict[str, Any]
    epoch: int
    live_until: datetime  # of the grant or the membership, whichever ends first
    team: str | None = None  # through which it is held
    need: str | None = None  # the request by which it was opened in need
