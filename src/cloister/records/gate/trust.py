"""Statements on schema trust: what a session needs to open its keys, its unlockers, who may open a dossier.

Signed things are handed over as stored; the session verifies every signature itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, NotFound
from cloister.records.gate.statement import Arguments, Call, Note, RowId, Statement, Text, fetch

TRUST: Final = "select id, name, certificate_root, access_root, certificate_root_der from trust.trust limit 1"
HOSPITALS: Final = "select id, name, kind, zone, ordinal from trust.hospital order by ordinal, id limit 1000"
WARDS: Final = "select id, hospital, name, specialty, zone, ordinal from trust.ward order by hospital, ordinal, id limit 50000"
ZONES: Final = "select id, hospital, ward, name, policy, body from trust.zone where id = any ($1) order by id limit 5000"
EPOCHS: Final = "select zone, epoch, body from trust.epoch where zone = any ($1) order by zone, epoch limit 50000"
# Of each zone the newest, to the person and to each team in which the person is now; a revoked one is the newest too.
# Where the past was closed by an epoch without link, also the last of each epoch before: what one had, one may still open.
TEAMS_NOW: Final = """
    select team from trust.membership
     where person = $1 and not keeps and revoked is null and now() between not_before and live_until"""
GRANTS: Final = f"""
    (select distinct on (g.zone, case when z.policy ->> 'past' = 'closed' then g.epoch end)
            g.hash, g.zone, g.seq, g.body, g.revoked is not null as revoked
       from trust."grant" g join trust.zone z on z.id = g.zone where g.person = $1
      order by g.zone, case when z.policy ->> 'past' = 'closed' then g.epoch end, g.seq desc limit 50000)
    union all
    (select distinct on (team, zone) hash, zone, seq, body, revoked is not null as revoked
       from trust."grant" where team in ({TEAMS_NOW}) order by team, zone, seq desc limit 50000)"""
# A membership is handed out only while it holds: what is sealed in it for tomorrow stays here until tomorrow.
MEMBERSHIPS: Final = """
    select hash, body, revoked is not null as revoked from trust.membership
     where person = $1 and now() between not_before and live_until order by team, hash limit 5000"""
TEAMS: Final = """
    select t.body from trust.team t
     where (t.id, t.generation) in (
         select m.team, m.generation from trust.membership m where m.person = $1 and now() between m.not_before and m.live_until)
     order by t.id, t.generation limit 5000"""
NEXT_START: Final = """
    select min(not_before) as next from (
        select not_before from trust.membership where person = $1 and revoked is null and not_before > now()
        union all
        select not_before from trust."grant" where person = $1 and revoked is null and not_before > now()
    ) coming"""
MANDATES: Final = "select hash, office, person, body from trust.mandate order by hash limit 1000"
# One's own certificates and those of the officers; the authors of commits are asked for one by one.
CERTIFICATES: Final = """
    select hash, person, der, revoked is not null as revoked
      from trust.certificate
     where person = $1 or person in (select m.person from trust.mandate m)
     order by issued, hash limit 10000"""
REVOKED: Final = "select hash, revoked from trust.certificate where revoked is not null order by hash limit 200000"
# Signed words that something ended: every certificate's, because authors are judged by them, and those about one's own grants.
REVOCATIONS: Final = """
    select body from trust.revocation r
     where r.kind = 'certificate'
        or r.target in (select m.hash from trust.membership m where m.person = $1)
        or r.target in (select g.hash from trust."grant" g where g.person = $1)
        or r.target in (select g.hash from trust."grant" g where g.team in (select m.team from trust.membership m where m.person = $1))
     order by r.made, r.hash limit 200000"""
COUNTERSIGNATURES: Final = """
    select c.body from trust.countersignature c join trust."grant" g on g.hash = c.target
     where g.person = $1 or g.team in (select m.team from trust.membership m where m.person = $1) order by c.made, c.hash limit 50000"""
CERTIFICATES_BY_HASH: Final = "select der from trust.certificate where hash = any ($1) limit 1000"
# Who meets one author of a zone will soon meet the others; a call for each would cost more than all of them at once.
COLLEAGUES: Final = """
    select c.der from trust.certificate c
     where c.revoked is null and not c.hash = any ($1)
       and c.person in (select g.person from trust."grant" g where g.zone = any ($2) and g."right" = 'write' and g.revoked is null)
     limit 500"""
PERSON: Final = "select id, sign_in, name, kind, role, hospital, language from trust.person where id = $1 and not disabled"
IDENTITY: Final = "select person, kem_public, sign_public, sealed_private, certificate from trust.identity where person = $1"
UNLOCKERS: Final = """
    select id, kind, params, sealed, label, created, last_used from trust.unlocker where person = $1 order by created, id limit 100"""
PEOPLE: Final = "select id, name, role, hospital from trust.person order by name, id limit 200000"
ADD_UNLOCKER: Final = """
    insert into trust.unlocker (id, person, kind, params, sealed, verifier, credential_id, credential_public, created, label)
    values ($1, $2, $3, $4, $5, $6, $7, $8, now(), $9) returning id"""
# Two stay, so that losing one loses nothing; a passphrase is replaced and never removed, because every desk can take it.
REMOVE_UNLOCKER: Final = """
    delete from trust.unlocker u where u.id = $2 and u.person = $1
       and u.kind <> 'passphrase' and (select count(*) from trust.unlocker o where o.person = $1) > 2 returning u.id"""
REMOVE_PASSPHRASE: Final = "delete from trust.unlocker where id = $2 and person = $1 and kind = 'passphrase' returning id"
READERS: Final = """
    select k.zone, z.name, z.hospital, z.ward, p.id, p.name, p.role
      from care.dossier_key k
      join trust.zone z on z.id = k.zone
      left join trust."grant" g on g.zone = k.zone and g.revoked is null
      left join trust.person p on p.id = g.person and not p.disabled
     where k.dossier = $2 and (select true from care.dossier_key o where o.dossier = $2 and o.zone = any ($1) limit 1)
     group by 1, 2, 3, 4, 5, 6, 7 order by z.name, p.name, p.id limit 5000"""


# What a session believes only if it is on record.
SIGNED: Final = ("certificates", "mandates", "grants", "teams", "memberships", "zones", "epochs")


RULES: Final = "select body from trust.rules order by version desc limit 1"


class Nothing(Arguments):
    pass


class Hashes(Arguments):
    hashes: Annotated[list[Annotated[bytes, Meta(min_length=32, max_length=32)]], Meta(max_length=500)]


class Authors(Hashes):
    """`colleagues`: also the certificates of others who write in the caller's zones."""

    colleagues: bool = False


class AddUnlocker(Arguments):
    """A further way to open one's own keys; only ever for the calling person."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: Annotated[str, Meta(pattern="^(passphrase|passkey|card)$")]
    params: dict[str, Any]
    sealed: Annotated[bytes, Meta(max_length=4096)]
    verifier: Annotated[bytes, Meta(max_length=32)] | None = None
    credential_id: Annotated[bytes, Meta(max_length=1024)] | None = None
    credential_public: Annotated[bytes, Meta(max_length=4096)] | None = None
    label: Text = ""


class ReplacePassphrase(Arguments, kw_only=True):
    """A new passphrase in place of the old one, at once; the same unlock key."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    replaces: Annotated[str, Meta(min_length=1, max_length=100)]
    params: dict[str, Any]
    sealed: Annotated[bytes, Meta(max_length=4096)]
    verifier: Annotated[bytes, Meta(min_length=32, max_length=32)]


class RemoveUnlocker(Arguments):
    id: Annotated[str, Meta(min_length=1, max_length=100)]


class Readers(Arguments):
    dossier: RowId


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


async def _column(call: Call, sql: str, *values: Any) -> list[Any]:
    return [row[0] for row in await call.database.fetch(sql, *values)]


async def _maps(call: Call, sql: str, *values: Any) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in await call.database.fetch(sql, *values)]


async def trust_material(call: Call, arguments: Nothing) -> Any:
    """What a session's start needs, in one call; what it says is proved by its signatures, not by having come from here."""
    names = ("trust", "hospitals", "wards", "person", "identity", "unlockers", "people")
    keys, *found = await asyncio.gather(
        trust_renewal(call, arguments),
        _maps(call, TRUST),
        _maps(call, HOSPITALS),
        _maps(call, WARDS),
        _maps(call, PERSON, call.person),
        _maps(call, IDENTITY, call.person),
        _maps(call, UNLOCKERS, call.person),
        _maps(call, PEOPLE),
    )
    material: dict[str, Any] = keys | dict(zip(names, found, strict=True))
    if not material["trust"] or not material["person"] or not material["identity"]:
        raise NotFound("This person has no identity in this trust.", hint="Ask the certificate officer.")
    for name in ("trust", "person", "identity"):
        material[name] = material[name][0]
    for row in material["unlockers"]:
        row["params"] = json.loads(row["params"])
    return material


async def trust_renewal(call: Call, arguments: Nothing) -> Any:
    """The part that changes while a session is open: what the person holds, and what proves it.

    `next_start` is when something further begins to hold; what that is, is not told before.
    """
    names = ("mandates", "grants", "teams", "memberships", "certificates", "revoked", "coming")
    found = await asyncio.gather(
        _maps(call, MANDATES),
        _maps(call, GRANTS, call.person),
        _maps(call, TEAMS, call.person),
        _maps(call, MEMBERSHIPS, call.person),
        _maps(call, CERTIFICATES, call.person),
        _maps(call, REVOKED),
        _maps(call, NEXT_START, call.person),
    )
    material: dict[str, Any] = dict(zip(names, found, strict=True))
    material["revoked"] = [(row["hash"], row["revoked"]) for row in material["revoked"]]
    material["revocations"] = await _column(call, REVOCATIONS, call.person)
    material["countersignatures"] = await _column(call, COUNTERSIGNATURES, call.person)
    material["next_start"] = material.pop("coming")[0]["next"]
    zones = sorted({grant["zone"] for grant in material["grants"]})
    material["zones"], material["epochs"] = await asyncio.gather(_maps(call, ZONES, zones), _maps(call, EPOCHS, zones))
    for row in material["zones"]:
        row["policy"] = json.loads(row["policy"])
    bodies = [row["der" if name == "certificates" else "body"] for name in SIGNED for row in material[name]]
    material["proofs"] = await call.proofs.of([hashlib.sha256(body).digest() for body in (*bodies, *material["countersignatures"])])
    return material


async def certificates(call: Call, arguments: Authors) -> Any:
    """{"ders", "proofs"} of authors' certificates; the session verifies them, and that they are on record."""
    found = await _column(call, CERTIFICATES_BY_HASH, arguments.hashes)
    if arguments.colleagues:
        found += await _column(call, COLLEAGUES, arguments.hashes, call.zones)
    return {"ders": found, "proofs": await call.proofs.of([hashlib.sha256(der).digest() for der in found])}


async def unlocker_add(call: Call, arguments: AddUnlocker) -> None:
    try:
        await call.database.execute(
            ADD_UNLOCKER,
            arguments.id,
            call.person,
            arguments.kind,
            json.dumps(arguments.params),
            arguments.sealed,
            arguments.verifier,
            arguments.credential_id,
            arguments.credential_public,
            arguments.label,
        )
    except asyncpg.UniqueViolationError as taken:
        raise Conflict("This passkey is registered already.", reason="unlocker-exists") from taken


async def unlocker_remove(call: Call, arguments: RemoveUnlocker) -> None:
    if await call.database.fetchval(REMOVE_UNLOCKER, call.person, arguments.id) is None:
        raise Denied(
            "This way in stays: two are needed, and a passphrase among them.", hint="Add another one first.", reason="last-unlocker"
        )


async def unlocker_replace(call: Call, arguments: ReplacePassphrase) -> None:
    a = arguments
    values = (a.id, call.person, "passphrase", json.dumps(a.params), a.sealed, a.verifier, None, None, "")
    try:
        await call.database.together([(REMOVE_PASSPHRASE, (call.person, a.replaces)), (ADD_UNLOCKER, values)])
    except (asyncpg.NoDataFoundError, asyncpg.UniqueViolationError):
        raise Conflict("Your passphrase was changed elsewhere.", hint="Load the page again.", reason="trust-raced") from None


def _own_way(act: str) -> Any:
    return lambda arguments: [Note(act, "unlocker", arguments.id)]


async def readers(call: Call, arguments: Readers) -> Any:
    """[zone, zone name, hospital, ward, person, name, role] of everybody who may open this dossier."""
    return await fetch(call, READERS, call.zones, arguments.dossier)


async def rules_now(call: Call, arguments: Nothing) -> Any:
    """The newest version of the trust's own rules, signed; None where it has none."""
    rows = await fetch(call, RULES)
    return rows[0][0] if rows else None


async def zones(call: Call, arguments: Nothing) -> Any:
    """The zones of the caller as the gate knows them now: how a session tells an ended grant from a removed row."""
    return list(call.zones)


STATEMENTS: Final = (
    Statement("zones", Nothing, zones),
    Statement("rules_now", Nothing, rules_now),
    Statement("trust_material", Nothing, trust_material),
    Statement("trust_renewal", Nothing, trust_renewal),
    Statement("certificates", Authors, certificates),
    Statement("unlocker_add", AddUnlocker, unlocker_add, noted_first=False, notes=_own_way("unlocker-add")),
    Statement("unlocker_remove", RemoveUnlocker, unlocker_remove, noted_first=False, notes=_own_way("unlocker-remove")),
    Statement("unlocker_replace", ReplacePassphrase, unlocker_replace, noted_first=False, notes=_own_way("unlocker-replace")),
    Statement("readers", Readers, readers),
)
