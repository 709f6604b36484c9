"""Schema `trust`, what the founding ceremony writes: one transaction, and nothing in clear that is a key.

The rows are made and signed by the ceremony (assemble/founding.py); here they only become SQL.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg

from cloister.base.errors import Conflict
from cloister.identity.person import Authenticator, Person
from cloister.identity.store import TRUST, Hospital, TrustRow, Ward

INSERT_TRUST: Final = """
    insert into trust.trust (id, name, founded, certificate_root, access_root, certificate_root_der) values ($1, $2, $3, $4, $5, $6)"""

INSERT_HOSPITAL: Final = """
    insert into trust.hospital (id, name, kind, zone, ordinal) values ($1, $2, $3, $4, $5)"""

INSERT_WARD: Final = """
    insert into trust.ward (id, hospital, name, specialty, zone, ordinal) values ($1, $2, $3, $4, $5, $6)"""

INSERT_PERSON: Final = """
    insert into trust.person (id, sign_in, name, kind, role, hospital, language, disabled) values ($1, $2, $3, $4, $5, $6, $7, $8)"""

INSERT_CERTIFICATE: Final = """
    insert into trust.certificate (hash, person, der, issued) select $1, $2, $3, founded from trust.trust"""

INSERT_IDENTITY: Final = """
    insert into trust.identity (person, kem_public, sign_public, sealed_private, certificate) values ($1, $2, $3, $4, $5)"""

INSERT_MANDATE: Final = """
    insert into trust.mandate (hash, office, person, body) values ($1, $2, $3, $4)"""

INSERT_UNLOCKER: Final = """
    insert into trust.unlocker (id, person, kind, params, sealed, verifier, label, created)
    select $1, $2, $3, $4::text::jsonb, $5, $6, $7, founded from trust.trust"""

INSERT_ZONE: Final = """
    insert into trust.zone (id, hospital, ward, name, policy, body) values ($1, $2, $3, $4, $5::text::jsonb, $6)"""

INSERT_EPOCH: Final = """
    insert into trust.epoch (zone, epoch, body) values ($1, $2, $3)"""

INSERT_SEAL: Final = """
    insert into trust.epoch_seal (zone, epoch, kind, part, body) values ($1, $2, $3, $4, $5)"""

INSERT_RECOVERY: Final = (
    "insert into trust.recovery_escrow (hash, body, params, sealed) values ($1, $2, $3, $4)",
    "insert into trust.recovery_set (name, number, hash, body) values ($1, $2, $3, $4)",
    "insert into trust.recovery_canary (zone, epoch, hash, body) values ($1, $2, $3, $4)",
)

INSERT_GRANT: Final = """
    insert into trust."grant" (hash, zone, person, seq, body, "right", not_before, live_until) values ($1, $2, $3, $4, $5, $6, $7, $8)"""

INSERT_TEAM: Final = """
    insert into trust.team (id, generation, hash, hospital, name, body) values ($1, $2, $3, $4, $5, $6)"""

INSERT_MEMBERSHIP: Final = """
    insert into trust.membership (hash, team, generation, person, not_before, live_until, body) values ($1, $2, $3, $4, $5, $6, $7)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """One person or program with everything that is stored about them."""

    person: Person
    kem_public: bytes
    sign_public: bytes
    sealed_private: bytes = field(repr=False)
    certificate_hash: bytes
    certificate_der: bytes
    authenticator: Authenticator
    sealed_unlock_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateRow:
    hash: bytes
    office: str
    person: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedZone:
    """A zone's record and its first epoch, each signed by an access officer."""

    id: str
    hospital: str
    ward: str | None
    name: str
    policy: dict[str, Any]
    body: bytes
    epoch: int
    epoch_body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRow:
    hash: bytes
    zone: str
    person: str
    seq: int
    body: bytes
    right: str
    not_before: datetime
    live_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRow:
    id: str
    generation: int
    hash: bytes
    hospital: str
    name: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipRow:
    hash: bytes
    team: str
    generation: int
    person: str
    not_before: datetime
    live_until: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRow:
    """An epoch's key, sealed for something else than a grant."""

    zone: str
    epoch: int
    kind: str
    part: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRows:
    """What recovery is founded on; each row as its table has it, every body signed."""

    escrow: tuple[bytes, bytes, str, bytes]  # hash, body, parameters, sealed
    sets: tuple[tuple[str, int, bytes, bytes], ...]  # name, number, hash, body
    canary: tuple[str, int, bytes, bytes]  # zone, epoch, hash, body


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRows:
    """All rows of a new trust, in the order in which they depend on each other."""

    trust: TrustRow
    hospitals: tuple[Hospital, ...]
    wards: tuple[Ward, ...]
    enrolled: tuple[Enrolled, ...]
    mandates: tuple[MandateRow, ...]
    zones: tuple[SignedZone, ...]
    grants: tuple[GrantRow, ...]
    teams: tuple[TeamRow, ...] = ()
    memberships: tuple[MembershipRow, ...] = ()
    seals: tuple[SealRow, ...] = ()
    recovery: RecoveryRows | None = None


async def check_empty(connection: asyncpg.Connection[Any]) -> None:
    """Raises Conflict when a trust has been founded in this database."""
    if await connection.fetchrow(TRUST) is not None:
        raise _taken()


def _taken() -> Conflict:
    return Conflict("A trust has been founded here already.", hint="Use another CLOISTER_STATE for another trust.")


async def write_trust(connection: asyncpg.Connection[Any], rows: TrustRows) -> None:
    """All or nothing; raises Conflict when this database has its trust already."""
    t = rows.trust
    try:
        async with connection.transaction():
            await connection.execute(INSERT_TRUST, t.id, t.name, t.founded, t.certificate_root, t.access_root, t.certificate_root_der)
            await connection.executemany(INSERT_HOSPITAL, [(h.id, h.name, h.kind, h.zone, h.ordinal) for h in rows.hospitals])
            await connection.executemany(INSERT_WARD, [(w.id, w.hospital, w.name, w.specialty, w.zone, w.ordinal) for w in rows.wards])
            await _write_people(connection, rows)
            await connection.executemany(INSERT_MANDATE, [(m.hash, m.office, m.person, m.body) for m in rows.mandates])
            zones = [(z.id, z.hospital, z.ward, z.name, json.dumps(z.policy), z.body) for z in rows.zones]
            await connection.executemany(INSERT_ZONE, zones)
            await connection.executemany(INSERT_EPOCH, [(z.id, z.epoch, z.epoch_body) for z in rows.zones])
            await connection.executemany(INSERT_SEAL, [(s.zone, s.epoch, s.kind, s.part, s.body) for s in rows.seals])
            if rows.recovery is not None:
                every = ([rows.recovery.escrow], rows.recovery.sets, [rows.recovery.canary])
                for insert, values in zip(INSERT_RECOVERY, every, strict=True):
                    await connection.executemany(insert, values)
            grants = [(g.hash, g.zone, g.person, g.seq, g.body, g.right, g.not_before, g.live_until) for g in rows.grants]
            await connection.executemany(INSERT_GRANT, grants)
            await connection.executemany(INSERT_TEAM, [(t.id, t.generation, t.hash, t.hospital, t.name, t.body) for t in rows.teams])
            members = [(m.hash, m.team, m.generation, m.person, m.not_before, m.live_until, m.body) for m in rows.memberships]
            await connection.executemany(INSERT_MEMBERSHIP, members)
    except asyncpg.UniqueViolationError as fault:
        raise _taken() from fault


async def _write_people(connection: asyncpg.Connection[Any], rows: TrustRows) -> None:
    people = [e.person for e in rows.enrolled]
    await connection.executemany(
        INSERT_PERSON, [(p.id, p.sign_in, p.name, p.kind, p.role, p.hospital, p.language, p.disabled) for p in people]
    )
    await connection.executemany(INSERT_CERTIFICATE, [(e.certificate_hash, e.person.id, e.certificate_der) for e in rows.enrolled])
    await connection.executemany(
        INSERT_IDENTITY, [(e.person.id, e.kem_public, e.sign_public, e.sealed_private, e.certificate_hash) for e in rows.enrolled]
    )
    unlockers = [(e.authenticator, e.sealed_unlock_key) for e in rows.enrolled]
    await connection.executemany(
        INSERT_UNLOCKER, [(a.id, a.person, a.kind, json.dumps(a.params), sealed, a.verifier, a.label) for a, sealed in unlockers]
    )
