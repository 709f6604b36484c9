"""`trust_put`: what the offices sign goes into schema trust, all of it or none, noted in the audit log first.

The gate checks only that the caller's role is that of the office; whether a signature holds is for every session
to find out, so that an administrator who writes here gives nobody a key. Columns are for finding, bodies are the proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import asyncpg
from msgspec import Meta, Struct

from cloister.base.errors import Conflict, Denied
from cloister.records.gate.statement import Arguments, Call, Note, Statement

OBJECTS_MAX: Final = 5000
BODY_BYTES_MAX: Final = 256 * 1024
ACCESS: Final = "access-officer"
CERTIFICATE: Final = "certificate-officer"

INSERT_GRANT: Final = """
    insert into trust."grant" (hash, zone, person, team, seq, body, "right", epoch, not_before, live_until)
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
     where $5 = coalesce((select max(g.seq) from trust."grant" g where g.zone = $2 and (g.person = $3 or g.team = $4)), 0) + 1
    returning hash"""
INSERT_TEAM: Final = """
    insert into trust.team (id, generation, hash, hospital, name, body) values ($1, $2, $3, $4, $5, $6) returning hash"""
INSERT_MEMBERSHIP: Final = """
    insert into trust.membership (hash, team, generation, person, keeps, not_before, live_until, body)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    returning hash"""
# A zone's newer record replaces the older: sessions take the highest sequence that verifies.
INSERT_ZONE: Final = """
    insert into trust.zone (id, hospital, ward, name, policy, body) values ($1, $2, $3, $4, $5::text::jsonb, $6)
    on conflict (id) do update set name = excluded.name, policy = excluded.policy, body = excluded.body
     where trust.zone.hospital = excluded.hospital and trust.zone.ward is not distinct from excluded.ward
    returning id"""
INSERT_EPOCH: Final = """
    insert into trust.epoch (zone, epoch, body)
    select $1, $2, $3 where $2 = coalesce((select max(e.epoch) from trust.epoch e where e.zone = $1), 0) + 1 returning zone"""
INSERT_SEAL: Final = """
    insert into trust.epoch_seal (zone, epoch, kind, part, body) values ($1, $2, $3, $4, $5)
    on conflict (zone, epoch, kind, part) do update set body = excluded.body where excluded.kind = 'recovery' returning zone"""
# A set's next card; the seals for it follow in the same call.
INSERT_RECOVERY_SET: Final = """
    insert into trust.recovery_set (name, number, hash, body)
    select $1, $2, $3, $4 where $2 = coalesce((select max(s.number) from trust.recovery_set s where s.name = $1), 0) + 1 returning name"""
INSERT_RECOVERY_ESCROW: Final = """
    insert into trust.recovery_escrow (hash, body, params, sealed) values ($1, $2, $3, $4) returning hash"""
INSERT_RECOVERY_CANARY: Final = """
    insert into trust.recovery_canary (zone, epoch, hash, body) values ($1, $2, $3, $4) returning zone"""
INSERT_CERTIFICATE: Final = """
    insert into trust.certificate (hash, person, der, issued) values ($1, $2, $3, now()) returning hash"""
USE_CERTIFICATE: Final = "update trust.identity set certificate = $1 where person = $2 returning person"
INSERT_REVOCATION: Final = """
    insert into trust.revocation (hash, kind, target, body) values ($1, $2, $3, $4) returning hash"""
INSERT_COUNTERSIGNATURE: Final = "insert into trust.countersignature (hash, target, body) values ($1, $2, $3) returning hash"
REVOKE: Final = {
    "grant": 'update trust."grant" set revoked = coalesce(revoked, $2) where hash = $1 returning hash',
    "membership": "update trust.membership set revoked = coalesce(revoked, $2) where hash = $1 returning hash",
    "certificate": "update trust.certificate set revoked = coalesce(revoked, $2) where hash = $1 returning hash",
}
ENROL_PERSON: Final = "select p from trust.enrol_person($1) p where p is not null"
ENROL: Final = "select p from trust.enrol($1, $2) p where p is not null"
INSERT_MANDATE: Final = "insert into trust.mandate (hash, office, person, body) values ($1, $2, $3, $4) returning hash"

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Body = Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Moment = Annotated[int, Meta(ge=0, le=253_370_764_800_000)]  # milliseconds since 1970 UTC, as in what is signed
Step = tuple[str, tuple[Any, ...]]


class Signed(Struct, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """One signed object and the columns by which it is found."""

    body: Body

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.body).digest()


class Grant(Signed, kw_only=True, tag="grant"):
    zone: Name
    person: Name | None = None
    team: Name | None = None
    seq: Count
    right: Literal["hold", "read", "write"]
    epoch: Count
    not_before: Moment
    live_until: Moment


class Team(Signed, kw_only=True, tag="team"):
    team: Name
    generation: Count
    hospital: Name
    name: Name


class Membership(Signed, kw_only=True, tag="membership"):
    team: Name
    generation: Count
    person: Name
    keeps: bool = False
    not_before: Moment
    live_until: Moment


class Zone(Signed, kw_only=True, tag="zone"):
    zone: Name
    hospital: Name
    ward: Name | None = None
    name: Name
    policy: Annotated[str, Meta(max_length=20_000)]  # JSON


class Epoch(Signed, kw_only=True, tag="epoch"):
    zone: Name
    epoch: Count


class EpochSeal(Signed, kw_only=True, tag="epoch_seal"):
    zone: Name
    epoch: Count
    seal: Literal["recovery", "glass"]
    part: Annotated[int, Meta(ge=0, le=1000)] = 0


class RecoverySet(Signed, kw_only=True, tag="recovery_set"):
    name: Literal["A", "B"]
    number: Count


class RecoveryCanary(Signed, kw_only=True, tag="recovery_canary"):
    zone: Name
    epoch: Count


class RecoveryEscrow(Signed, kw_only=True, tag="recovery_escrow"):
    """IT's; `sealed` is worthless without the passphrase."""

    params: Annotated[str, Meta(max_length=2000)]  # JSON
    sealed: Annotated[bytes, Meta(max_length=4096)]


Recovery: TypeAlias = RecoverySet | RecoveryCanary | RecoveryEscrow


class Revocation(Signed, kw_only=True, tag="revocation"):
    of: Literal["grant", "membership", "certificate"]
    target: Hash
    at: Moment


class Countersignature(Signed, kw_only=True, tag="countersignature"):
    target: Hash


class Certificate(Signed, kw_only=True, tag="certificate"):
    """`applicant`: whose answer it certifies; otherwise a new certificate for the keys that the person has."""

    person: Name
    applicant: Name | None = None


class Mandate(Signed, kw_only=True, tag="mandate"):
    """Signed by a root, so it comes from the machine's own command line and from no session."""

    office: Literal["certificate", "access"]
    person: Name


SignedObject: TypeAlias = (
    Grant | Team | Membership | Zone | Epoch | EpochSeal | Revocation | Countersignature | Certificate | Mandate | Recovery
)


class TrustPut(Arguments):
    objects: Annotated[list[SignedObject], Meta(min_length=1, max_length=OBJECTS_MAX)]


@dataclass(frozen=True, slots=True)
class Refusing:
    """The sentence for a row that could not be written."""

    reason: str
    text: str
    hint: str


RACED: Final = Refusing("trust-raced", "Somebody else changed this in the meantime.", "Load the page again, and look before you repeat.")


def office_of(one: SignedObject) -> str | None:
    """The role whose sessions may write this; None: no session may."""
    if isinstance(one, Mandate):
        return None
    if isinstance(one, Certificate | RecoveryEscrow) or (isinstance(one, Revocation) and one.of == "certificate"):
        return CERTIFICATE
    return ACCESS


def notes_of(arguments: TrustPut) -> Sequence[Note]:
    """One entry for each object, durable before the object is: what is in no entry, no session believes."""
    return [Note("trust-object", one.__struct_config__.tag, one.hash.hex()) for one in arguments.objects]  # type: ignore[arg-type]


async def trust_put(call: Call, arguments: TrustPut) -> None:
    for one in arguments.objects:
        if office_of(one) != call.role:
            raise Denied("This belongs to another office.", hint="Ask the officer whose part it is.", reason="other-office")
    await put(call.database, arguments.objects)


async def put(database: Any, objects: Sequence[SignedObject]) -> None:
    """All or nothing; Conflict when a row is there already, or another one came in between."""
    try:
        await database.together([step for one in objects for step in steps(one)])
    except (asyncpg.UniqueViolationError, asyncpg.NoDataFoundError):
        raise Conflict(RACED.text, hint=RACED.hint, reason=RACED.reason) from None
    except asyncpg.IntegrityConstraintViolationError:
        raise Conflict("This names something that is not in the trust.", hint="Load the page again.", reason="trust-names") from None


def steps(one: SignedObject) -> list[Step]:
    """The statements for one object; each must return a row."""
    if isinstance(one, Grant):
        moments = (_moment(one.not_before), _moment(one.live_until))
        return [(INSERT_GRANT, (one.hash, one.zone, one.person, one.team, one.seq, one.body, one.right, one.epoch, *moments))]
    if isinstance(one, Team):
        return [(INSERT_TEAM, (one.team, one.generation, one.hash, one.hospital, one.name, one.body))]
    if isinstance(one, Membership):
        moments = (_moment(one.not_before), _moment(one.live_until))
        return [(INSERT_MEMBERSHIP, (one.hash, one.team, one.generation, one.person, one.keeps, *moments, one.body))]
    if isinstance(one, Zone):
        return [(INSERT_ZONE, (one.zone, one.hospital, one.ward, one.name, one.policy, one.body))]
    if isinstance(one, Epoch):
        return [(INSERT_EPOCH, (one.zone, one.epoch, one.body))]
    if isinstance(one, EpochSeal):
        return [(INSERT_SEAL, (one.zone, one.epoch, one.seal, one.part, one.body))]
    if isinstance(one, RecoverySet):
        return [(INSERT_RECOVERY_SET, (one.name, one.number, one.hash, one.body))]
    if isinstance(one, RecoveryCanary):
        return [(INSERT_RECOVERY_CANARY, (one.zone, one.epoch, one.hash, one.body))]
    if isinstance(one, RecoveryEscrow):
        return [(INSERT_RECOVERY_ESCROW, (one.hash, one.body, one.params, one.sealed))]
    if isinstance(one, Revocation):
        return [(INSERT_REVOCATION, (one.hash, one.of, one.target, one.body)), (REVOKE[one.of], (one.target, _moment(one.at)))]
    if isinstance(one, Countersignature):
        return [(INSERT_COUNTERSIGNATURE, (one.hash, one.target, one.body))]
    if isinstance(one, Mandate):
        return [(INSERT_MANDATE, (one.hash, one.office, one.person, one.body))]
    insert = (INSERT_CERTIFICATE, (one.hash, one.person, one.body))
    if one.applicant is None:
        return [insert, (USE_CERTIFICATE, (one.hash, one.person))]
    return [(ENROL_PERSON, (one.applicant,)), insert, (ENROL, (one.applicant, one.hash))]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


STATEMENTS: Final = (Statement("trust_put", TrustPut, trust_put, notes=notes_of),)
