"""New keys for dossiers at the gate: who may, for which zones, and what other zones' sessions still have to take up.

Whoever writes in a zone may renew the keys of its dossiers. The gate sees ciphertext in the place of ciphertext; that the
author held the keys before is proved to sessions by signatures. The SQL is migrations/006_rekey.sql.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.records.gate.statement import RESOURCES_MAX, Arguments, Call, Medium, RowId, Small, Statement, ZoneName, visible
from cloister.records.gate.writing import CONFLICTS, REPLACED, UNKNOWN

ZONES_MAX: Final = 500
BATCH_MAX: Final = 50

WRITES: Final = """
    select distinct zone from (
        select g.zone from trust."grant" g where g.person = $1 and g.zone = any ($2) and g.revoked is null and g."right" = 'write'
           and now() between g.not_before and g.live_until
        union all
        select g.zone from trust.membership m join trust."grant" g on g.team = m.team
         where m.person = $1 and not m.keeps and m.revoked is null and now() between m.not_before and m.live_until
           and g.zone = any ($2) and g.revoked is null and g."right" = 'write' and now() between g.not_before and g.live_until
    ) ways"""
# Zones that have the dossier, or are offered it; the share that gave it to a zone proves that somebody did.
ZONES: Final = f"""
    select z.id, z.body, (select e.body from trust.epoch e where e.zone = z.id order by e.epoch desc limit 1), s.body, s.made
      from (select k.zone from care.dossier_key k where k.dossier = $2
             union select o.zone from care.share o where o.dossier = $2 and o.state = 'offered') h
      join trust.zone z on z.id = h.zone
      left join lateral (
        select c.body, c.made from care.share c where c.dossier = $2 and c.zone = h.zone and c.body is not null
           and c.state in ('offered', 'wrapped', 'held') order by c.made desc limit 1) s on true
     where {visible("$2")} order by z.id limit 500"""
REKEY: Final = f"select care.rekey({', '.join(f'${place}' for place in range(1, 18))})"
COMING: Final = """
    select r.zone, r.key_no, r.body, r.made from care.rekey r
     where r.dossier = $2 and r.zone = any ($1)
       and exists (select from care.dossier_key k where k.dossier = r.dossier and k.zone = r.zone)
     order by r.key_no, r.zone limit 500"""
NEXT: Final = """
    select r.dossier, r.zone, r.key_no from care.rekey r
     where r.zone = any ($1) and exists (select from care.dossier_key k where k.dossier = r.dossier and k.zone = r.zone)
     order by r.made limit $2"""
TAKE: Final = """
    insert into care.dossier_key (dossier, key_no, epoch, zone, wrapped)
    select r.dossier, r.key_no, $4, r.zone, $5 from care.rekey r
     where r.dossier = $1 and r.zone = $2 and r.key_no = $3 and $4 = (select max(e.epoch) from trust.epoch e where e.zone = $2)
    on conflict (zone, dossier, key_no) do nothing returning key_no"""
TAKEN: Final = "delete from care.rekey where dossier = $1 and zone = $2 and key_no = $3 returning key_no"
ASK: Final = """
    insert into care.rekey_run (zone, asked_by, reason) values ($1, $2, $3)
    on conflict (zone) do update set asked_by = excluded.asked_by, reason = excluded.reason, asked = now(), ended = null"""
LEFT: Final = """
    select distinct k.dossier from care.rekey_run u join care.dossier_key k on k.zone = u.zone
     where u.zone = $1 and u.ended is null and k.dossier > $2
       and not exists (select from care.rekeyed d where d.dossier = k.dossier and d.made >= u.asked)
     order by k.dossier limit $3"""
RUNS: Final = """
    select u.zone, u.reason, u.asked from care.rekey_run u where u.zone = any ($1) and u.ended is null order by u.asked limit 500"""
ENDED: Final = "update care.rekey_run set ended = now() where zone = $1 and ended is null"

Bytes = Annotated[list[Annotated[bytes, Meta(max_length=64 * 1024)]], Meta(max_length=ZONES_MAX)]
Zones = Annotated[list[ZoneName], Meta(max_length=ZONES_MAX)]
Epochs = Annotated[list[Medium], Meta(max_length=ZONES_MAX)]
_Many = Meta(max_length=RESOURCES_MAX)
GROUPS: Final = (("key_zone", "key_epoch", "key_wrapped"), ("seal_zone", "seal_epoch", "seal"), ("rtype", "id", "ver", "ct"))


class Nothing(Arguments):
    pass


class OfDossier(Arguments):
    dossier: RowId


class Rekey(Arguments):
    dossier: RowId
    expected: Annotated[int, Meta(ge=1, le=2**62)]
    commit: bytes
    key_no: Small
    key_zone: Zones
    key_epoch: Epochs
    key_wrapped: Bytes
    seal_zone: Zones
    seal_epoch: Epochs
    seal: Bytes
    rtype: Annotated[list[Small], _Many]
    id: Annotated[list[RowId], _Many]
    ver: Annotated[list[Medium], _Many]
    ct: Annotated[list[bytes], _Many]
    part_no: Medium
    part_ct: bytes


class Take(Arguments):
    dossier: RowId
    zone: ZoneName
    key_no: Small
    epoch: Medium
    wrapped: Annotated[bytes, Meta(max_length=200)]


class OfZone(Arguments):
    zone: ZoneName
    after: RowId = bytes(16)


class Ask(Arguments):
    zone: ZoneName
    reason: Annotated[str, Meta(min_length=3, max_length=200)]


def _row(row: Any) -> list[Any]:
    return [value.isoformat() if isinstance(value, datetime) else value for value in row]


async def _writes(call: Call, zones: list[str]) -> None:
    """Returns when the caller may write in each of these, of which there is one at least."""
    mine = {row[0] for row in await call.database.fetch(WRITES, call.person, [zone for zone in zones if zone in call.zones])}
    if not zones or not mine.issuperset(zones):
        text = "New keys are made by those who write in the zone."
        raise Denied(text, hint="Ask a colleague who writes there.", reason="right-missing")


async def rekey_zones(call: Call, arguments: OfDossier) -> Any:
    """[zone, signed record, signed newest epoch, the share that gave it the dossier or None, when]."""
    return [_row(row) for row in await call.database.fetch(ZONES, call.zones, arguments.dossier)]


async def rekey(call: Call, arguments: Rekey) -> None:
    """Conflict when the head or the zones have moved; nothing is kept then."""
    for group in GROUPS:
        if len({len(getattr(arguments, name)) for name in group}) != 1:
            raise Invalid("The columns of a re-keying are not of one length.", reason="columns")
    await _writes(call, arguments.key_zone)
    values = [getattr(arguments, name) for name in ("dossier", "expected", "commit", "key_no")]
    values += [getattr(arguments, name) for group in GROUPS for name in group]
    try:
        await call.database.execute(REKEY, call.zones, *values, arguments.part_no, arguments.part_ct)
    except asyncpg.PostgresError as refused:
        if refused.sqlstate in CONFLICTS:
            raise Conflict("This record has changed in the meantime.", hint="Read it again and repeat.", reason="head-moved") from refused
        if refused.sqlstate == REPLACED:
            text = "A zone of this record has new keys."
            raise Conflict(text, hint="Repeat it; your session fetches them.", reason="epoch-replaced") from refused
        if refused.sqlstate == UNKNOWN:
            raise Denied("This dossier or zone is not open to you.", reason="zone-not-held") from refused
        raise


async def rekey_coming(call: Call, arguments: OfDossier) -> Any:
    """[zone, key number, sealed keys, made] of what nobody of the caller's zones has taken up yet."""
    return [_row(row) for row in await call.database.fetch(COMING, call.zones, arguments.dossier)]


async def rekey_next(call: Call, arguments: Nothing) -> Any:
    return [_row(row) for row in await call.database.fetch(NEXT, call.zones, BATCH_MAX)]


async def rekey_take(call: Call, arguments: Take) -> None:
    await _writes(call, [arguments.zone])
    place = (arguments.dossier, arguments.zone, arguments.key_no)
    try:
        await call.database.together([(TAKE, (*place, arguments.epoch, arguments.wrapped)), (TAKEN, place)])
    except asyncpg.NoDataFoundError:
        raise Conflict("These keys were taken up already.", reason="rekey-state") from None


async def rekey_ask(call: Call, arguments: Ask) -> None:
    await _writes(call, [arguments.zone])
    await call.database.execute(ASK, arguments.zone, call.person, arguments.reason)


async def rekey_runs(call: Call, arguments: Nothing) -> Any:
    """[zone, reason, asked] of the zone-wide runs that are not at their end."""
    return [_row(row) for row in await call.database.fetch(RUNS, call.zones)]


async def rekey_left(call: Call, arguments: OfZone) -> Any:
    """Dossiers of the zone that have no new keys since they were asked for, in order."""
    await _writes(call, [arguments.zone])
    return [row[0] for row in await call.database.fetch(LEFT, arguments.zone, arguments.after, BATCH_MAX)]


async def rekey_ended(call: Call, arguments: OfZone) -> None:
    await _writes(call, [arguments.zone])
    if not await call.database.fetch(LEFT, arguments.zone, bytes(16), 1):
        await call.database.execute(ENDED, arguments.zone)


STATEMENTS: Final = (
    Statement("rekey_zones", OfDossier, rekey_zones),
    Statement("rekey", Rekey, rekey, noted_first=False, changes_keys=True),
    Statement("rekey_coming", OfDossier, rekey_coming),
    Statement("rekey_next", Nothing, rekey_next),
    Statement("rekey_take", Take, rekey_take, noted_first=False, changes_keys=True),
    Statement("rekey_ask", Ask, rekey_ask),
    Statement("rekey_runs", Nothing, rekey_runs),
    Statement("rekey_left", OfZone, rekey_left),
    Statement("rekey_ended", OfZone, rekey_ended, noted_first=False),
)
