"""Mandating further officers with a root from its safe, at the machine's own command line. Spec: docs/spec/zones.md 8, 19.

The root's private half is opened for one signature and forgotten; no page and no session ever sees it. A root mandates for
its own office only, and nobody whom the other office has: one person may not certify and grant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.assemble.folders import service_token
from cloister.assemble.postgres import owner_connection
from cloister.assemble.roots import pinned_roots
from cloister.assemble.sealed_roots import open_root
from cloister.base.errors import Conflict, Denied, Invalid, NotFound
from cloister.base.settings import Settings
from cloister.base.wire import Caller
from cloister.offices import application
from cloister.zones import Refusal, TrustRoots, algorithms, certificates, envelope, grants

MANDATE_DAYS_MAX: Final = 3653
PERSON: Final = """
    select p.id, p.name, p.role, i.kem_public, i.sign_public, c.der, c.hash from trust.person p
      join trust.identity i on i.person = p.id join trust.certificate c on c.hash = i.certificate where p.sign_in = $1"""
OFFICERS: Final = """
    select c.der from trust.certificate c where c.revoked is null and c.person in (select m.person from trust.mandate m)"""
REVOKED: Final = "select hash, revoked from trust.certificate where revoked is not null"
OTHER: Final = "select count(*) from trust.mandate where person = $1 and office <> $2"
APPLICANT: Final = """
    select id, person, name, role, renews, kem_public, sign_public, sealed_private, unlockers, challenge, proof from trust.applicant
     where sign_in = $1 and state = 'answered'"""
ROOT_DER: Final = "select certificate_root_der from trust.trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Who would be mandated, for the person at the command line to confirm: the words are those of the keys."""

    office: grants.Office
    person: str
    name: str
    words: str
    certificate: bytes | None  # None: the root certifies as well
    row: dict[str, Any]


async def candidate(settings: Settings, office: str, sign_in: str, *, now: datetime) -> Candidate:
    """Raises by name when this person cannot hold the office."""
    wanted, roots = grants.Office(office), pinned_roots(settings)
    connection = await owner_connection(settings)
    try:
        found = (
            await _applying(connection, sign_in, roots)
            if wanted is grants.Office.CERTIFICATE
            else await _certified(connection, sign_in, roots, now)
        )
        if await connection.fetchval(OTHER, found.person, str(wanted)):
            raise Denied("This person holds the other office.", hint="Give the two offices to two people.", reason=Refusal.BOTH_OFFICES)
        return found
    finally:
        await connection.close(timeout=5)


async def _certified(connection: asyncpg.Connection[Any], sign_in: str, roots: TrustRoots, now: datetime) -> Candidate:
    """An access officer: certified by a certificate officer as one, and mandated here by the access root."""
    row = await connection.fetchrow(PERSON, sign_in)
    if row is None:
        raise NotFound(f"Nobody with keys has the sign-in name '{sign_in[:80]}'.", hint="The certificate officer enrols people first.")
    issuers = [bytes(one["der"]) for one in await connection.fetch(OFFICERS)]
    revoked = {bytes(one["hash"]): one["revoked"] for one in await connection.fetch(REVOKED)}
    found = certificates.verified_certificate(bytes(row["der"]), roots=roots, intermediates=issuers, revoked=revoked, now=now)
    if found.person != row["id"] or found.office != grants.Office.ACCESS or row["role"] != "access-officer":
        raise Denied(f"{row['name']} is not certified as an access officer.", hint="Register this person with that role.", reason="role")
    if algorithms.sha256(bytes(row["kem_public"])) != found.kem_digest or bytes(row["sign_public"]) != found.sign_public:
        raise Denied("The stored keys are not those that were certified.", reason=Refusal.CERTIFICATE_OTHER_KEYS)
    words = application.fingerprint(bytes(row["sign_public"]), bytes(row["kem_public"]))
    return Candidate(office=grants.Office.ACCESS, person=row["id"], name=row["name"], words=words, certificate=found.hash, row={})


async def _applying(connection: asyncpg.Connection[Any], sign_in: str, roots: TrustRoots) -> Candidate:
    """A certificate officer: an applicant who has brought keys, which the certificate root itself certifies."""
    row = await connection.fetchrow(APPLICANT, sign_in)
    if row is None:
        raise NotFound(
            f"No applicant '{sign_in[:80]}' has brought keys.", hint="A certificate officer registers the person, who then uses /enrol."
        )
    if row["role"] != "certificate-officer":
        raise Denied(
            f"{row['name']} was not registered as a certificate officer.", hint="Register this person with that role.", reason="role"
        )
    brought = application.checked(
        trust=roots.trust_id,
        applicant=row["id"],
        person=row["person"],
        challenge=bytes(row["challenge"]),
        kem_public=bytes(row["kem_public"]),
        sign_public=bytes(row["sign_public"]),
        sealed_private=bytes(row["sealed_private"]),
        unlockers=json.loads(row["unlockers"]),
        proof=bytes(row["proof"]),
    )
    return Candidate(
        office=grants.Office.CERTIFICATE, person=row["person"], name=row["name"], words=brought.words, certificate=None, row=dict(row)
    )


async def mandate(
    settings: Settings,
    chosen: Candidate,
    *,
    passphrase: str,
    folder: Path | None,
    ceiling: str,
    zones: Sequence[str] | None,
    days: int,
    now: datetime,
) -> bytes:
    """Signed by the root of that office, and put on record; the mandate's hash."""
    if not 1 <= days <= MANDATE_DAYS_MAX:
        raise Invalid("An office is given for one day to ten years.", hint="--days 1825", reason="term")
    roots = pinned_roots(settings)
    seed = open_root(folder or settings.state / "roots", str(chosen.office), passphrase, trust=roots.trust_id)
    public = roots.certificate_root_public if chosen.office is grants.Office.CERTIFICATE else roots.access_root_public
    if algorithms.sign_public(seed.reveal()) != public:
        raise Denied("This root is not the one that this trust has pinned.", hint="Bring the trust's own root.", reason="other-root")
    objects: list[dict[str, Any]] = []
    hashed = chosen.certificate
    if hashed is None:
        der = await _root_der(settings)
        row = chosen.row
        made = certificates.certificate(
            seed, der, chosen.person, chosen.name, bytes(row["sign_public"]), bytes(row["kem_public"]), str(chosen.office), days, now
        )
        objects.append({"kind": "certificate", "body": made, "person": chosen.person, "applicant": row["id"]})
        hashed = algorithms.sha256(made)
    until = now + timedelta(days=days)
    body = grants.mandate(seed, str(chosen.office), hashed, chosen.person, ceiling, zones, until, trust=roots.trust_id)
    objects.append({"kind": "mandate", "body": body, "office": str(chosen.office), "person": chosen.person})
    gate = Caller(settings.socket("gate"), part="store gate")
    try:
        await gate.call("trust_put", token=service_token(settings, "controller"), objects=objects)
    except Conflict as raced:
        raise Conflict(
            "This officer is mandated already, or the applicant has changed.", hint="Look again.", reason="trust-raced"
        ) from raced
    finally:
        gate.close()
    return envelope.digest(body)


async def _root_der(settings: Settings) -> bytes:
    connection = await owner_connection(settings)
    try:
        return bytes(await connection.fetchval(ROOT_DER))
    finally:
        await connection.close(timeout=5)
