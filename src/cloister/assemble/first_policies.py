"""What a new zone's signed policy says of opening in need and of machines, and the first epoch's break-glass seals.

People and machines stand in a policy with the hash of their exact certificate, so that IT cannot give somebody's place away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloister.identity import GlassPlan, ProgramPlan, enrolment
from cloister.zones import TrustRoots, algorithms, certificates, envelope, epochs, glass, grants

Hashes = Mapping[str, bytes]  # person -> hash of the certificate


def glass_policy(plan: GlassPlan | None, certified: Hashes) -> dict[str, Any]:
    if plan is None:
        return {}
    return {
        glass.KIND: {
            "approvers": plan.approvers,
            "seconds": plan.seconds,
            "right": plan.right,
            "askers": {person: certified[person].hex() for person in plan.askers},
            "approvers_pool": {person: certified[person].hex() for person in plan.pool},
        }
    }


def ingest_policy(zone: str, programs: Sequence[ProgramPlan], certified: Hashes) -> dict[str, Any]:
    """The machines that may seal into a zone without reading it."""
    able = {one.client_id: certified[one.client_id].hex() for one in programs if zone in one.seals_into}
    return {"ingest": able} if able else {}


def glass_seals(
    zones: Sequence[tuple[enrolment.SignedZone, epochs.EpochKeys]],
    enrolled: Sequence[enrolment.Enrolled],
    mandates: Sequence[enrolment.MandateRow],
    roots: TrustRoots,
    officer: envelope.Signer,
    now: datetime,
) -> tuple[enrolment.SealRow, ...]:
    """Signed by the access officer who signed the zones."""
    known = certificates.Certificates(roots, [one.certificate_der for one in enrolled], {})
    offices = grants.Offices(roots, known, [one.body for one in mandates])
    public = known.chained(envelope.certificate_hash(officer.id)).sign_public
    kems = tuple(one.kem_public for one in enrolled)
    rows = []
    for row, keys in zones:
        material = epochs.SealMaterial(
            roots.trust_id, offices, epochs.verified_zone(row.body, public, roots.trust_id), records={"kem": kems}
        )
        made = glass.seals_of_epoch(material, keys, officer, now)
        rows += [enrolment.SealRow(zone=row.id, epoch=row.epoch, kind=one.kind, part=one.part, body=one.body) for one in made]
    return tuple(rows)


def roots_of(trust: str, certificate_root: bytes, access_root: bytes) -> TrustRoots:
    """The public halves, from the private ones that the ceremony holds."""
    return TrustRoots(trust, algorithms.sign_public(certificate_root), algorithms.sign_public(access_root))
