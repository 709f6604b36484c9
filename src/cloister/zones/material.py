"""What a keyring is opened from, and what it says of each zone that it holds. Spec: docs/spec/zones.md 13."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import envelope
from cloister.zones.bundle import Bundle
from cloister.zones.certificates import Certificates, Certified
from cloister.zones.epochs import EpochKeys
from cloister.zones.grants import RANK, Grant, Right
from cloister.zones.refusals import Forged, Refusal, Refused


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
    proofs: Mapping[str, Any] | None = None  # that these are on record in the audit log (inclusion.py)


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


@dataclass(slots=True)
class Opened:
    """One zone, opened."""

    held: HeldZone
    grant: Grant
    index_key: Secret
    keys: dict[int, EpochKeys]
    records: dict[int, bytes]
    current: bool  # the grant's epoch is the zone's newest


RIGHTS: Final = {
    Right.HOLD: frozenset[str](),
    Right.READ: frozenset({"read"}),
    Right.WRITE: frozenset({"read", "write"}),
}


def preference(one: Opened) -> tuple[bool, int, int, int, datetime]:
    """Of several ways into a zone: the newest keys, then most rights, most of the past, longest."""
    return (one.current, one.grant.epoch, RANK[one.grant.right], -one.grant.floor, one.held.live_until)


def own_certificates(bundle: Bundle, certificates: Certificates, now: datetime) -> list[Certified]:
    """The person's certificates for exactly these keys that hold now; raises the last reason when none does."""
    own: list[Certified] = []
    last: Forged | Refused = Refused(Refusal.CERTIFICATE_MISSING)
    for hashed in certificates.naming(bundle.sign_public):
        try:
            found = certificates.valid(hashed, now)
            if found.person != bundle.person or not _same_keys(found, bundle):
                raise Refused(Refusal.CERTIFICATE_OTHER_KEYS)
            own.append(found)
        except (Forged, Refused) as refused:
            last = refused
    if not own:
        raise last
    return own


def _same_keys(found: Certified, bundle: Bundle) -> bool:
    return found.sign_public == bundle.sign_public and found.kem_digest == envelope.digest(bundle.kem_public)


def by_zone(blobs: Iterable[bytes], number: str) -> dict[str, list[bytes]]:
    """Sorted by the zone they claim; unreadable ones fall out here, and are missed by name later."""
    found: dict[str, list[bytes]] = {}
    for blob in blobs:
        try:
            body = envelope.peek_body(blob)
        except Forged:
            continue
        zone = body.get("zone")
        if isinstance(zone, str) and isinstance(body.get(number), int):
            found.setdefault(zone, []).append(blob)
    return found
