"""Shares of dossiers at the gate: which zone has whose record besides its own zone, why, by whose word, until when.

A giver must see the dossier; a taker must be of the receiving zone. What is due ends when any session that opens the dossier
comes by: ending needs no key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta, Struct

from cloister.base.errors import Conflict, Denied
from cloister.records.gate.statement import Arguments, Call, Medium, Number, RowId, Small, Statement, Text, ZoneName, visible

BATCH_MAX: Final = 20
SHARES_MAX: Final = 200
ZONES_MAX: Final = 50

# A ward's or hospital's zone, by the id that Location and Organization have.
TARGETS: Final = """
    select p.place, z.id, z.body, (select e.body from trust.epoch e where e.zone = z.id order by e.epoch desc limit 1)
      from unnest($1::text[]) p (place)
      join trust.zone z on z.id = coalesce((select w.zone from trust.ward w where w.id = split_part(p.place, '/', 2)),
                                           (select h.zone from trust.hospital h where h.id = split_part(p.place, '/', 2)))
     order by 1 limit 500"""
SEES: Final = f"select {visible('$2')}"
# A zone that has the dossier of its own right keeps it so, unless another zone has it of its own right too.
SET: Final = """
    insert into care.share (dossier, zone, resource, reason, giver, state, body)
    select $1, $2, $3, $4, $5, case when k.has then 'held' else 'offered' end, case when k.has then null else $6::bytea end
      from (select exists (select from care.dossier_key k where k.dossier = $1 and k.zone = $2) as has) k
     where case when k.has then exists (
                select from care.dossier_key o where o.dossier = $1 and o.zone <> $2
                   and not exists (select from care.share s where s.dossier = $1 and s.zone = o.zone and s.state <> 'ended'))
           else $6::bytea is not null end
    on conflict (dossier, zone, resource) do update
       set until = null, closed = null, reason = excluded.reason, giver = excluded.giver, body = coalesce(excluded.body, care.share.body),
           state = case when care.share.state in ('ending', 'ended') then excluded.state else care.share.state end"""
UNTIL: Final = """
    update care.share set until = $4
     where dossier = $1 and resource = $2 and zone <> all ($3) and until is null and state in ('offered', 'wrapped', 'held')"""
AT_ONCE: Final = """
    update care.share set until = least(until, $4)
     where dossier = $1 and resource = $2 and zone <> all ($3) and until is not null and state in ('offered', 'wrapped', 'held')"""
END: Final = "select care.end_shares($1)"
NEXT: Final = """
    update care.share s set leased_until = now() + interval '1 minute'
      from (select w.dossier, w.zone, w.resource from care.share w
             where w.zone = any ($1) and w.state in ('offered', 'wrapped', 'ending') and (w.leased_until is null or w.leased_until < now())
             order by w.made limit $2 for update skip locked) n
     where s.dossier = n.dossier and s.zone = n.zone and s.resource = n.resource
    returning s.dossier, s.zone, s.resource, s.reason, s.state, s.body, s.made"""
TAKE: Final = """
    insert into care.dossier_key (dossier, key_no, epoch, zone, wrapped)
    select $1, w.key_no, $3, $2, w.wrapped from unnest($4::int2[], $5::bytea[]) w (key_no, wrapped)
     where exists (select from care.share s where s.dossier = $1 and s.zone = $2 and s.state = 'offered')
       and $3 = (select max(e.epoch) from trust.epoch e where e.zone = $2)
    on conflict (zone, dossier, key_no) do nothing returning key_no"""
WRAPPED: Final = "update care.share set state = 'wrapped' where dossier = $1 and zone = $2 and state = 'offered' returning zone"
TOKENS: Final = """
    insert into care.zidx (zone, dossier, rtype, id, toks)
    select $2, $1, w.rtype, w.id, ($7::int8[])[w.first:w.last]
      from unnest($3::int2[], $4::uuid[], $5::int4[], $6::int4[]) w (rtype, id, first, last)
     where w.last >= w.first
    on conflict (zone, dossier, rtype, id) do update set toks = excluded.toks"""
LIST: Final = "insert into care.shard_part (zone, part_no, ct) values ($1, $2, $3)"
HELD: Final = (
    "update care.share set state = 'held', leased_until = null where dossier = $1 and zone = $2 and state = 'wrapped' returning zone"
)
UNLISTED: Final = (
    "update care.share set state = 'ended', leased_until = null where dossier = $1 and zone = $2 and state = 'ending' returning zone"
)
DROP: Final = """
    with gone as (
        update care.share set state = 'ended', closed = now()
         where dossier = $1 and zone = $2 and state in ('offered', 'wrapped') returning zone
    )
    delete from care.dossier_key k using gone where k.dossier = $1 and k.zone = gone.zone"""
OF: Final = f"""
    select s.zone, z.name, s.reason, s.resource, p.name, s.state, s.made, s.until
      from care.share s join trust.zone z on z.id = s.zone left join trust.person p on p.id = s.giver
     where s.dossier = $2 and s.state in ('offered', 'wrapped', 'held') and {visible("$2")} order by s.made limit 500"""


ENDED: Final = """
    select not exists (
        select from unnest($2::text[]) z (zone)
         where not exists (select from care.share s where s.dossier = $1 and s.zone = z.zone and s.state in ('ending', 'ended')))"""


class Nothing(Arguments):
    pass


class Places(Arguments):
    places: Annotated[list[Text], Meta(max_length=ZONES_MAX)]


class OneShare(Struct, forbid_unknown_fields=True):
    """`zones`: [zone, sealed share, or None where the zone has the keys already]. `until`: when the resource's other zones end."""

    dossier: RowId
    resource: Text
    reason: Annotated[str, Meta(pattern="^(admission|transfer|referral|consent)$")]
    zones: Annotated[list[tuple[ZoneName, Annotated[bytes, Meta(max_length=16_384)] | None]], Meta(max_length=ZONES_MAX)]
    until: Annotated[str, Meta(max_length=40)]
    at_once: bool = False


class ShareSet(Arguments):
    shares: Annotated[list[OneShare], Meta(max_length=SHARES_MAX)]


class ShareTake(Arguments):
    dossier: RowId
    zone: ZoneName
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    key_no: Annotated[list[Small], Meta(min_length=1, max_length=100)]
    wrapped: Annotated[list[Annotated[bytes, Meta(max_length=200)]], Meta(min_length=1, max_length=100)]


class ShareIndex(Arguments):
    """The receiving zone's tokens and its list of people; `held` False: the share has ended, the list says so."""

    dossier: RowId
    zone: ZoneName
    rtype: Annotated[list[Small], Meta(max_length=50_000)] = []
    id: Annotated[list[RowId], Meta(max_length=50_000)] = []
    first: Annotated[list[Medium], Meta(max_length=50_000)] = []
    last: Annotated[list[Medium], Meta(max_length=50_000)] = []
    toks: Annotated[list[Number], Meta(max_length=500_000)] = []
    shard_no: Number | None = None
    shard_ct: Annotated[bytes, Meta(max_length=1024 * 1024)] = b""
    held: bool = True


class ShareOf(Arguments):
    dossier: RowId
    zone: Annotated[str, Meta(max_length=200)] = ""


class ShareEnded(Arguments):
    dossier: RowId
    zones: Annotated[list[ZoneName], Meta(min_length=1, max_length=5000)]


def _row(row: Any) -> list[Any]:
    return [value.isoformat() if isinstance(value, datetime) else value for value in row]


def _mine(call: Call, zone: str) -> None:
    if zone not in call.zones:
        raise Denied("This zone is not open to you.", reason="zone-not-held")


async def share_targets(call: Call, arguments: Places) -> Any:
    """[place, zone, signed record, signed newest epoch] for each place that has a zone."""
    return [list(row) for row in await call.database.fetch(TARGETS, arguments.places)]


async def share_set(call: Call, arguments: ShareSet) -> None:
    """What one resource of a dossier asks for now: these zones, and no longer the others that it asked for before."""
    for one in arguments.shares:
        if not await call.database.fetchval(SEES, call.zones, one.dossier):
            raise Denied("This dossier is not open to you.", reason="zone-not-held")
        for zone, body in one.zones:
            await call.database.execute(SET, one.dossier, zone, one.resource, one.reason, call.person, body)
        values = (one.dossier, one.resource, [zone for zone, _ in one.zones], datetime.fromisoformat(one.until))
        await call.database.execute(UNTIL, *values)
        if one.at_once:
            await call.database.execute(AT_ONCE, *values)


async def share_end(call: Call, arguments: Nothing) -> Any:
    """How many shares of dossiers that the caller opens have ended just now."""
    return await call.database.fetchval(END, call.zones)


async def share_next(call: Call, arguments: Nothing) -> Any:
    """[dossier, zone, resource, reason, state, sealed share, made] for sessions of the receiving zone, leased for a minute."""
    return [_row(row) for row in await call.database.fetch(NEXT, call.zones, BATCH_MAX)]


async def share_take(call: Call, arguments: ShareTake) -> None:
    _mine(call, arguments.zone)
    pair = (arguments.dossier, arguments.zone)
    try:
        await call.database.together([(TAKE, (*pair, arguments.epoch, arguments.key_no, arguments.wrapped)), (WRAPPED, pair)])
    except asyncpg.NoDataFoundError:
        raise Conflict("This share was taken up or withdrawn.", reason="share-state") from None


async def share_index(call: Call, arguments: ShareIndex) -> None:
    _mine(call, arguments.zone)
    if len({len(arguments.rtype), len(arguments.id), len(arguments.first), len(arguments.last)}) != 1:
        raise Denied("The columns are not of one length.", reason="columns")
    pair = (arguments.dossier, arguments.zone)
    columns = (arguments.rtype, arguments.id, arguments.first, arguments.last, arguments.toks)
    if arguments.held:
        await call.database.execute(TOKENS, *pair, *columns)
    if arguments.shard_no is not None:
        await call.database.execute(LIST, arguments.zone, arguments.shard_no, arguments.shard_ct)
    await call.database.execute(HELD if arguments.held else UNLISTED, *pair)


async def share_drop(call: Call, arguments: ShareOf) -> None:
    """A share whose keys do not open the dossier."""
    _mine(call, arguments.zone)
    await call.database.execute(DROP, arguments.dossier, arguments.zone)


async def shares_of(call: Call, arguments: ShareOf) -> Any:
    """[zone, name, reason, resource, giver, state, made, until] of what is shared now."""
    return [_row(row) for row in await call.database.fetch(OF, call.zones, arguments.dossier)]


async def share_ended(call: Call, arguments: ShareEnded) -> Any:
    """Whether each of these zones had this dossier by a share that has ended: how a session tells that from a row taken away."""
    zones = [zone for zone in arguments.zones if zone in call.zones]
    return bool(zones) and await call.database.fetchval(ENDED, arguments.dossier, zones)


STATEMENTS: Final = (
    Statement("share_targets", Places, share_targets),
    Statement("share_set", ShareSet, share_set, noted_first=False),
    Statement("share_end", Nothing, share_end, changes_keys=True),
    Statement("share_next", Nothing, share_next),
    Statement("share_take", ShareTake, share_take, noted_first=False, changes_keys=True),
    Statement("share_index", ShareIndex, share_index, noted_first=False),
    Statement("share_drop", ShareOf, share_drop, noted_first=False, changes_keys=True),
    Statement("share_ended", ShareEnded, share_ended),
    Statement("shares_of", ShareOf, shares_of),
)
