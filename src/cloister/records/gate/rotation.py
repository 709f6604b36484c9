"""What an officer needs to make a zone's next epoch, and the rewrapping of dossier keys that follows it.

Rewrapping changes one column of rows that exist: the wrap of a dossier's key for one zone, from an older epoch to the
newest. Nothing can be added, moved to another zone or dossier, or set back. Who holds a zone may do it, or writes in it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Conflict, Denied, Invalid, NotFound
from cloister.records.gate.statement import Arguments, Call, Medium, Note, RowId, Small, Statement, fetch

WRAPS_MAX: Final = 20_000  # of one call
WRAP_BYTES: Final = 60

ZONE: Final = "select id, hospital, ward, name, policy, body from trust.zone where id = $1"
EPOCHS: Final = "select epoch, body from trust.epoch where zone = $1 order by epoch limit 5000"
# The newest grant to each person and each team, ended or not: the next one's sequence follows it.
NEWEST: Final = """
    select g.hash, g.person, g.team, g.seq, g.body, g.revoked is not null as revoked, i.kem_public, c.der, t.body as team_body,
           coalesce(p.disabled, false) as disabled
      from (select distinct on (coalesce(person, 'team:' || team)) * from trust."grant" where zone = $1
             order by coalesce(person, 'team:' || team), seq desc) g
      left join trust.person p on p.id = g.person
      left join trust.identity i on i.person = g.person
      left join trust.certificate c on c.hash = i.certificate
      left join lateral (select body from trust.team where id = g.team order by generation desc limit 1) t on true
     order by g.hash limit 50000"""
SEALS: Final = """
    select kind, part, body from trust.epoch_seal
     where zone = $1 and epoch = (select max(epoch) from trust.epoch where zone = $1) order by kind, part limit 1000"""
SETS: Final = "select body from trust.recovery_set order by name, number limit 1000"
KEMS: Final = """
    select c.der, i.kem_public from trust.identity i join trust.certificate c on c.hash = i.certificate
     where i.person = any ($1) order by i.person limit 1000"""

MAY_PASS: Final = """
    select true from (
        select 1 from trust."grant" g where g.person = $1 and g.zone = $2 and g.revoked is null and g."right" in ('hold', 'write')
           and now() between g.not_before and g.live_until
        union all
        select 1 from trust.membership m join trust."grant" g on g.team = m.team
         where m.person = $1 and not m.keeps and m.revoked is null and now() between m.not_before and m.live_until
           and g.zone = $2 and g.revoked is null and g."right" = 'write' and now() between g.not_before and g.live_until
    ) ways limit 1"""
NEWEST_EPOCH: Final = "select max(epoch) from trust.epoch where zone = $1"
STALE: Final = """
    select k.dossier, k.key_no, k.epoch, k.wrapped from care.dossier_key k
     where k.zone = $1 and k.epoch < $2 and (k.dossier, k.key_no) > ($3, $4) order by k.dossier, k.key_no limit $5"""
LEFT: Final = "select count(*) filter (where epoch < $2), count(*) from care.dossier_key where zone = $1"
PUT: Final = """
    update care.dossier_key k set epoch = $2, wrapped = w.wrapped
      from unnest($3::uuid[], $4::int2[], $5::int4[], $6::bytea[]) w (dossier, key_no, was, wrapped)
     where k.zone = $1 and k.dossier = w.dossier and k.key_no = w.key_no and k.epoch = w.was and w.was < $2
       and $2 = (select max(e.epoch) from trust.epoch e where e.zone = $1)
    returning 1"""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Many = Meta(max_length=WRAPS_MAX)


class OfZone(Arguments):
    zone: Name


class Stale(Arguments):
    """`after` is the dossier and key number of the last row that was given."""

    zone: Name
    after: tuple[RowId, Small] = (bytes(16), 0)
    limit: Annotated[int, Meta(ge=1, le=WRAPS_MAX)] = WRAPS_MAX


class PutWraps(Arguments):
    zone: Name
    epoch: Medium
    dossiers: Annotated[list[RowId], _Many]
    key_nos: Annotated[list[Small], _Many]
    was: Annotated[list[Medium], _Many]
    wrapped: Annotated[list[Annotated[bytes, Meta(min_length=WRAP_BYTES, max_length=WRAP_BYTES)]], _Many]


async def rotation_material(call: Call, arguments: OfZone) -> Any:
    """{zone, epochs, grants, seals, records}: what the officer's session verifies and signs anew."""
    if call.role != "access-officer":
        raise Denied("This belongs to another office.", hint="Ask an access officer.", reason="other-office")
    zone = await call.database.fetchrow(ZONE, arguments.zone)
    if zone is None:
        raise NotFound("There is no such zone in this trust.", reason="zone")
    row = dict(zone) | {"policy": json.loads(zone["policy"])}
    glass = row["policy"].get("glass") or {}
    named = sorted({*glass.get("askers", {}), *glass.get("approvers_pool", {})})
    kems = await fetch(call, KEMS, named)
    return {
        "zone": row,
        "epochs": await fetch(call, EPOCHS, arguments.zone),
        "grants": [dict(one) for one in await call.database.fetch(NEWEST, arguments.zone)],
        "seals": await fetch(call, SEALS, arguments.zone),
        "recovery_sets": [one[0] for one in await call.database.fetch(SETS)],
        "certificates": [one[0] for one in kems],
        "kem": [one[1] for one in kems],
    }


async def _check_passes(call: Call, zone: str) -> int:
    """The zone's newest epoch, for those who may wrap for it."""
    if await call.database.fetchval(MAY_PASS, call.person, zone) is None:
        raise Denied("This zone is not open to you.", hint="Ask an access officer.", reason="zone-not-held")
    return int(await call.database.fetchval(NEWEST_EPOCH, zone) or 0)


async def wraps_stale(call: Call, arguments: Stale) -> Any:
    """[dossier, key number, epoch, wrapped] of what is still under an older epoch, in order."""
    newest = await _check_passes(call, arguments.zone)
    return await fetch(call, STALE, arguments.zone, newest, *arguments.after, arguments.limit)


async def wraps_left(call: Call, arguments: OfZone) -> Any:
    """[under an older epoch, all]."""
    newest = await _check_passes(call, arguments.zone)
    return list(await call.database.fetchrow(LEFT, arguments.zone, newest))


async def wraps_put(call: Call, arguments: PutWraps) -> Any:
    """How many were changed; one that somebody else rewrapped meanwhile is none of them."""
    columns = (arguments.dossiers, arguments.key_nos, arguments.was, arguments.wrapped)
    if len({len(column) for column in columns}) != 1:
        raise Invalid("The columns of a rewrapping are not of one length.", reason="columns")
    if arguments.epoch != await _check_passes(call, arguments.zone):
        raise Conflict("The zone has new keys again.", hint="Repeat it; your session fetches them.", reason="epoch-replaced")
    return len(await call.database.fetch(PUT, arguments.zone, arguments.epoch, *columns))


def _rewrapped(arguments: PutWraps) -> list[Note]:
    return [Note("rewrap", "zone", arguments.zone, reason=f"{len(arguments.dossiers)} keys, epoch {arguments.epoch}")]


STATEMENTS: Final = (
    Statement("rotation_material", OfZone, rotation_material),
    Statement("wraps_stale", Stale, wraps_stale),
    Statement("wraps_left", OfZone, wraps_left),
    Statement("wraps_put", PutWraps, wraps_put, notes=_rewrapped, changes_keys=True),
)
