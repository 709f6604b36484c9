"""Statements that find across dossiers: by blind tokens, by the sealed identity shard, or one dossier after another.

What is found is only a candidate; the session decides on opened values.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Invalid
from cloister.records.gate.statement import ROWS_MAX, Arguments, Call, Number, RowId, Small, Statement, ZoneName, fetch, visible

GROUPS_MAX: Final = 4
TOKENS_MAX: Final = 2000  # of one group: alternatives times zones
SHARD_PARTS_MAX: Final = 4096

# Tokens are keyed by zone, so one row never matches another zone's alternative of the same group.
_FIND: Final = """
    select z.dossier, z.id
      from care.zidx z
     where z.zone = any ($1) and z.rtype = $2{groups} and {visible}
     order by z.dossier, z.id limit {limit}"""
FIND: Final = tuple(
    _FIND.format(
        limit=ROWS_MAX, visible=visible("z.dossier"), groups="".join(f" and z.toks && ${place}::int8[]" for place in range(3, 3 + number))
    )
    for number in range(GROUPS_MAX + 1)
)

SHARD: Final = f"""
    select s.part_no, length(s.ct), case when $4 and s.part_no <> all ($3::int8[]) then s.ct end
      from care.shard_part s
     where s.zone = any ($1) and s.zone = $2
     order by s.part_no limit {SHARD_PARTS_MAX}"""

DOSSIERS: Final = """
    select distinct x.dossier, d.kind, d.seq
      from unnest($1::text[]) z (zone)
     cross join lateral (
        select k.dossier from care.dossier_key k where k.zone = z.zone and k.dossier > $2 order by k.dossier limit $3
     ) x
      join care.dossier d on d.id = x.dossier
     order by x.dossier limit $3"""
REGISTERS: Final = f"""
    select d.id, d.kind, d.seq from care.dossier d
     where d.kind = 'register' and d.id > $2 and {visible("d.id")}
     order by d.id limit $3"""


class Find(Arguments):
    """`groups`: all must hold; a group holds when any of its tokens does."""

    rtype: Small
    groups: Annotated[list[Annotated[list[Number], Meta(min_length=1, max_length=TOKENS_MAX)]], Meta(min_length=1, max_length=GROUPS_MAX)]


class Shard(Arguments):
    zone: ZoneName
    known: Annotated[list[Number], Meta(max_length=SHARD_PARTS_MAX)] = []
    bodies: bool = True


class Dossiers(Arguments):
    after: RowId
    registers: bool = False  # only those
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


async def find(call: Call, arguments: Find) -> Any:
    return await fetch(call, FIND[len(arguments.groups)], call.zones, arguments.rtype, *arguments.groups)


async def shard(call: Call, arguments: Shard) -> Any:
    found = await fetch(call, SHARD, call.zones, arguments.zone, arguments.known, arguments.bodies)
    if len(found) == SHARD_PARTS_MAX:
        raise Invalid(
            "The name index of this zone has too many parts.", hint="Let a session with write rights compact it.", reason="too-costly"
        )
    return found


async def dossiers(call: Call, arguments: Dossiers) -> Any:
    return await fetch(call, REGISTERS if arguments.registers else DOSSIERS, call.zones, arguments.after, arguments.limit)


STATEMENTS: Final = (
    Statement("find", Find, find),
    Statement("shard", Shard, shard),
    Statement("dossiers", Dossiers, dossiers),
)
