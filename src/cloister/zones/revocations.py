"""Revocations and second signatures: an officer's signed word about another signed object. Spec: docs/spec/zones.md 18.

A revocation says that a certificate, a grant or a membership has ended. The office that gives is the office that takes:
a certificate officer's word ends no grant, and an access officer's ends no certificate. Deleting the row does not
bring anything back where the column beside it still says so; either alone is enough to refuse.

A countersignature is a second access officer's agreement to one grant. A zone whose policy says `two_officers` opens
only with both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.zones import algorithms, envelope
from cloister.zones.cbor import MILLISECONDS_MAX, encoded
from cloister.zones.certificates import CERTIFICATE_OFFICE, Certificates
from cloister.zones.grants import Grant, Offices
from cloister.zones.refusals import Forged, Refusal, Refused

REVOCATION_LABEL: Final = "cloister/revocation/v1"
COUNTERSIGNATURE_LABEL: Final = "cloister/countersignature/v1"
TERMS: Final = "cloister/grant-terms/v1"
REASON_CHARACTERS_MAX: Final = 500
JUST_BEFORE: Final = timedelta(milliseconds=1)  # what was ended stays so
TWO_OFFICERS: Final = "two_officers"  # in a zone's policy


class Target(StrEnum):
    """What can be ended by a signed word."""

    CERTIFICATE = "certificate"
    GRANT = "grant"
    MEMBERSHIP = "membership"


@dataclass(frozen=True, slots=True)
class Revocation:
    """A verified revocation. `person`: whose it was, where it was one person's."""

    kind: Target
    target: bytes
    person: str | None
    reason: str
    at: datetime
    signer: str


def revocation(signer: envelope.Signer, *, trust: str, kind: str, target: bytes, person: str | None, reason: str, at: datetime) -> bytes:
    body = {
        "trust": trust,
        "kind": str(Target(kind)),
        "target": target,
        "person": person,
        "reason": reason[:REASON_CHARACTERS_MAX],
        "at": int(at.timestamp() * 1000),
    }
    return signer.sign(REVOCATION_LABEL, body)


def verified_revocation(blob: bytes, offices: Offices | Certificates) -> Revocation:
    """What was ended, if the office that gave it says so. With certificates alone, only certificates can be found to have ended.

    Checked just before the moment that it names, so that it outlives its officer's own term; also one that ends in this very moment.
    """
    certificates = offices.certificates if isinstance(offices, Offices) else offices
    signer = envelope.peek_signer(blob)
    body = envelope.fields(REVOCATION_LABEL, blob, _public(certificates, signer))
    if body.text("trust") != certificates.roots.trust_id:
        raise Forged(Refusal.TRUST)
    found = Revocation(
        kind=_target(body.text("kind")),
        target=body.octets("target", 32),
        person=body.text_or_none("person"),
        reason=body.text("reason"),
        at=body.moment("at"),
        signer=signer,
    )
    body.done()
    if found.kind is Target.CERTIFICATE:
        _check_certifies(certificates, signer, found.at - JUST_BEFORE)
    elif isinstance(offices, Offices):
        offices.access_key(signer, zone=None, now=found.at - JUST_BEFORE)
    else:
        raise Refused(Refusal.MANDATE_MISSING)
    return found


def revoked_certificates(blobs: Iterable[bytes], certificates: Certificates) -> dict[bytes, datetime]:
    """Which certificates have ended, and since when; what does not verify ends nothing."""
    ended: dict[bytes, datetime] = {}
    for blob in blobs:
        try:
            found = verified_revocation(blob, certificates)
        except (Forged, Refused):
            continue
        ended[found.target] = min(found.at, ended.get(found.target, found.at))
    return ended


def ended_by_access_officers(blobs: Iterable[bytes], offices: Offices, now: datetime) -> set[bytes]:
    """Hashes of the grants and memberships that have ended by now."""
    ended = set()
    for blob in blobs:
        try:
            found = verified_revocation(blob, offices)
        except (Forged, Refused):
            continue
        if found.kind is not Target.CERTIFICATE and found.at <= now:
            ended.add(found.target)
    return ended


def terms_of(grant: Grant) -> bytes:
    """What two officers agree about: who opens what, with which right, how far back, until when. A new epoch changes none of it."""
    live_until = round(grant.live_until.timestamp() * 1000)
    return algorithms.sha256(encoded([TERMS, grant.zone, grant.person, grant.certificate, str(grant.right), grant.floor, live_until]))


def countersignature(signer: envelope.Signer, *, trust: str, grant: Grant, at: datetime) -> bytes:
    """A second officer's agreement to the terms of this grant."""
    return signer.sign(COUNTERSIGNATURE_LABEL, {"trust": trust, "terms": terms_of(grant), "at": int(at.timestamp() * 1000)})


def check_countersigned(grant: Grant, blobs: Iterable[bytes], offices: Offices, now: datetime) -> None:
    """Returns if another officer, who is not the person granted to either, agrees to these terms. The root needs no second."""
    if grant.signer == envelope.ROOT_ACCESS:
        return
    first = offices.certificates.chained(envelope.certificate_hash(grant.signer))
    for blob in blobs:
        try:
            signer = envelope.peek_signer(blob)
            body = envelope.fields(COUNTERSIGNATURE_LABEL, blob, _public(offices.certificates, signer))
            if body.text("trust") != offices.trust.trust_id or body.octets("terms", 32) != terms_of(grant):
                continue
            body.number("at", high=MILLISECONDS_MAX)
            body.done()
            _, second = offices.access_key(signer, zone=grant.zone, now=now, right=grant.right)
        except (Forged, Refused):
            continue
        if second is None:
            return
        if second.person not in (first.person, grant.person) and second.sign_public != first.sign_public:
            return
    raise Refused(Refusal.GRANT_ONE_OFFICER)


def _public(certificates: Certificates, signer: str) -> bytes:
    roots = {
        envelope.ROOT_CERTIFICATE: certificates.roots.certificate_root_public,
        envelope.ROOT_ACCESS: certificates.roots.access_root_public,
    }
    return roots.get(signer) or certificates.chained(envelope.certificate_hash(signer)).sign_public


def _check_certifies(certificates: Certificates, signer: str, moment: datetime) -> None:
    if signer == envelope.ROOT_CERTIFICATE:
        return
    if signer == envelope.ROOT_ACCESS or certificates.valid(envelope.certificate_hash(signer), moment).office != CERTIFICATE_OFFICE:
        raise Refused(Refusal.MANDATE_MISSING)


def _target(text: str) -> Target:
    try:
        return Target(text)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None
