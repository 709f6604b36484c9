"""A restored database is accepted by two officers: one who certifies and one who grants. Spec: docs/spec/zones.md 14.6.

Each signs which checkpoint was lost and from which one the log goes on. Whoever holds only the machine can do neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloister.zones import envelope
from cloister.zones.certificates import CERTIFICATE_OFFICE
from cloister.zones.grants import Offices
from cloister.zones.refusals import Forged, Refusal, Refused

LABEL: Final = "cloister/restore/v1"
REASON_CHARACTERS_MAX: Final = 500

Head = tuple[int, bytes]  # size and root of a checkpoint


@dataclass(frozen=True, slots=True)
class Restore:
    """One officer's word. `certifies`: of the certificate office; else of the access office."""

    lost: Head
    found: Head
    reason: str
    at: datetime
    person: str
    certifies: bool
    hash: bytes


def restore(signer: envelope.Signer, *, trust: str, lost: Head, found: Head, reason: str, at: datetime) -> bytes:
    body = {
        "trust": trust,
        "lost_size": lost[0],
        "lost_root": lost[1],
        "found_size": found[0],
        "found_root": found[1],
        "reason": reason[:REASON_CHARACTERS_MAX],
        "at": int(at.timestamp() * 1000),
    }
    return signer.sign(LABEL, body)


def verified_restore(blob: bytes, offices: Offices, now: datetime) -> Restore:
    """The word of an officer whose certificate and office hold now; Forged or Refused by name."""
    signer = envelope.peek_signer(blob)
    officer = offices.certificates.valid(envelope.certificate_hash(signer), now)
    body = envelope.fields(LABEL, blob, officer.sign_public)
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    certifies = officer.office == CERTIFICATE_OFFICE
    if not certifies:
        offices.access_key(signer, zone=None, now=now)
    found = Restore(
        lost=(body.number("lost_size"), body.octets("lost_root", 32)),
        found=(body.number("found_size"), body.octets("found_root", 32)),
        reason=body.text("reason"),
        at=body.moment("at"),
        person=officer.person,
        certifies=certifies,
        hash=envelope.digest(blob),
    )
    body.done()
    return found


def accepted(blobs: Iterable[bytes], offices: Offices, *, lost: Head, found: Head, now: datetime) -> list[Restore]:
    """Both words about exactly this, or nothing: two people, one of each office."""
    words: dict[bool, Restore] = {}
    for blob in blobs:
        try:
            one = verified_restore(blob, offices, now)
        except (Forged, Refused):
            continue
        if (one.lost, one.found) == (lost, found):
            words.setdefault(one.certifies, one)
    return list(words.values()) if len(words) == 2 and words[True].person != words[False].person else []
