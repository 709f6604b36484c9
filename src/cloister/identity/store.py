"""Schema `trust`, read side: people, their authenticators, hospitals, wards, zones. Spec: docs/spec/zones.md.

Runs under the controller's role, which may not read a sealed key, or the store gate's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from cloister.base.errors import NotFound
from cloister.identity.person import Authenticator, Known, Person
from cloister.identity.sign_in import normalised, refusal

MIGRATIONS: Final = Path(__file__).parent / "migrations"

KNOWN: Final = """
    select p.id as person_id, p.sign_in, p.name, p.kind as person_kind, p.role, p.hospital, p.language, p.disabled,
           u.id, u.person, u.kind, u.params, u.verifier, u.credential_id, u.credential_public, u.sign_count, u.created, u.last_used, u.label
      from trust.person p left join trust.unlocker u on u.person = p.id
     where p.sign_in = $1
     order by u.created, u.id limit 100"""

PERSON: Final = """
    select id, sign_in, name, kind, role, hospital, language, disabled from trust.person where id = $1"""

PEOPLE: Final = """
    select id, sign_in, name, kind, role, hospital, language, disabled from trust.person order by kind, name, id limit 200000"""

MARK_USED: Final = """
    update trust.unlocker set last_used = $2, sign_count = $3
     where id = $1 and (sign_count < $3 or (sign_count = 0 and $3 = 0))
    returning id"""

TRUST: Final = """
    select id, name, founded, certificate_root, access_root, certificate_root_der from trust.trust limit 1"""

HOSPITALS: Final = """
    select id, name, kind, zone, ordinal from trust.hospital order by ordinal, id limit 1000"""

WARDS: Final = """
    select id, hospital, name, specialty, zone, ordinal from trust.ward order by hospital, ordinal, id limit 50000"""

ZONES: Final = """
    select id, hospital, ward, name from trust.zone order by id limit 50000"""


class Queries(Protocol):
    """A connection or a pool of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    id: str
    name: str
    founded: datetime
    certificate_root: bytes
    access_root: bytes
    certificate_root_der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospital:
    id: str
    name: str
    kind: str
    zone: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    id: str
    hospital: str
    name: str
    specialty: str
    zone: str
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRow:
    """A zone's place; its signed body is for sessions only (zones room)."""

    id: str
    hospital: str
    ward: str | None
    name: str


async def known(queries: Queries, sign_in: str) -> Known:
    """What is known about a sign-in name, in one query whether or not somebody has it."""
    name = normalised(sign_in)
    rows = await queries.fetch(KNOWN, name)
    if not rows:
        return Known(sign_in=name, person=None, authenticators=())
    first = rows[0]
    person = Person(
        id=first["person_id"],
        sign_in=first["sign_in"],
        name=first["name"],
        kind=first["person_kind"],
        role=first["role"],
        hospital=first["hospital"],
        language=first["language"],
        disabled=first["disabled"],
    )
    return Known(sign_in=name, person=person, authenticators=tuple(_authenticator(row) for row in rows if row["id"] is not None))


def _authenticator(row: Any) -> Authenticator:
    params = row["params"]
    return Authenticator(
        id=row["id"],
        person=row["person"],
        kind=row["kind"],
        params=params if isinstance(params, dict) else json.loads(params),
        verifier=row["verifier"],
        credential_id=row["credential_id"],
        credential_public=row["credential_public"],
        sign_count=row["sign_count"],
        created=row["created"],
        last_used=row["last_used"],
        label=row["label"],
    )


async def mark_used(queries: Queries, authenticator: Authenticator, *, now: datetime) -> None:
    """Store the use and the counter; refuses when the counter has moved on, as a copied passkey's would."""
    if await queries.fetchrow(MARK_USED, authenticator.id, now, authenticator.sign_count) is None:
        raise refusal()


async def person(queries: Queries, person_id: str) -> Person:
    row = await queries.fetchrow(PERSON, person_id)
    if row is None:
        raise NotFound("There is no such person in this trust.")
    return Person(**dict(row))


async def people(queries: Queries) -> tuple[Person, ...]:
    """Everybody, programs last: the staff directory."""
    return tuple(Person(**dict(row)) for row in await queries.fetch(PEOPLE))


async def trust(queries: Queries) -> TrustRow:
    """The trust of this database; raises NotFound before the founding."""
    row = await queries.fetchrow(TRUST)
    if row is None:
        raise NotFound("No trust has been founded here.", hint="cloister up")
    return TrustRow(**dict(row))


async def hospitals(queries: Queries) -> tuple[Hospital, ...]:
    return tuple(Hospital(**dict(row)) for row in await queries.fetch(HOSPITALS))


async def wards(queries: Queries) -> tuple[Ward, ...]:
    return tuple(Ward(**dict(row)) for row in await queries.fetch(WARDS))


async def zones(queries: Queries) -> tuple[ZoneRow, ...]:
    return tuple(ZoneRow(**dict(row)) for row in await queries.fetch(ZONES))
