"""The one statement that writes dossiers: columns in, all or nothing. The SQL is migrations/002_write.sql.

Columns and not rows, because PostgreSQL unnests arrays five times faster than it takes parameters one row at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.records.gate.asked import SUBSCRIPTION
from cloister.records.gate.connections import Connections
from cloister.records.gate.heads import Heads
from cloister.records.gate.statement import RESOURCES_MAX, Arguments, Call, Medium, Number, RowId, Small, Statement, ZoneName, visible

_Many = Meta(max_length=RESOURCES_MAX)
Bytes = Annotated[list[bytes], _Many]
Ids = Annotated[list[RowId], _Many]
Numbers = Annotated[list[Number], Meta(max_length=RESOURCES_MAX * 64)]
Mediums = Annotated[list[Medium], _Many]
Smalls = Annotated[list[Small], _Many]
Zones = Annotated[list[ZoneName], _Many]
Kinds = Annotated[list[Annotated[str, Meta(pattern="^(patient|register)$")]], _Many]

# The order of care.write's parameters after p_zones; each list of columns is of one length.
COLUMNS: Final = (
    ("dossier", "kind", "expected", "commit"),
    ("key_d", "key_no", "key_epoch", "key_zone", "key_wrapped"),
    ("new_d", "new_rtype", "new_id", "new_ver", "new_key", "new_dict", "new_ct"),
    ("upd_d", "upd_rtype", "upd_id", "upd_ver", "upd_key", "upd_dict", "upd_ct"),
    ("part_d", "part_no", "part_ct"),
    ("drop_d", "drop_no"),
    ("tok_zone", "tok_d", "tok_rtype", "tok_id", "tok_first", "tok_last"),
    ("toks",),
    ("shard_zone", "shard_no", "shard_ct"),
    ("shard_drop_zone", "shard_drop_no"),
)
NAMES: Final = tuple(name for group in COLUMNS for name in group)
WRITE: Final = f"select care.write({', '.join(f'${place}' for place in range(1, len(NAMES) + 2))})"

# Writes of several sessions with the same zones, in one transaction: each is stored if its dossier's head is the one it was built on.
EACH: Final = ("dossier", "expected", "commit", "new_rtype", "new_id", "new_ver", "new_key", "new_dict", "new_ct", "part_no", "part_ct")
WRITE_EACH: Final = f"""
    with w as materialized (
        select * from unnest($2::uuid[], $3::int8[], $4::bytea[], $5::int2[], $6::uuid[], $7::int4[], $8::int2[], $9::int2[], $10::bytea[],
                             $11::int4[], $12::bytea[])
          with ordinality w (dossier, expected, blob, rtype, id, ver, key_no, dict_no, ct, part_no, part, n)
    ), moved as (
        update care.dossier d set seq = d.seq + 1 from w
         where d.id = w.dossier and d.seq = w.expected and {visible("d.id")}
        returning w.*
    ), signed as (
        insert into care.commit (dossier, seq, blob) select dossier, expected + 1, blob from moved
    ), stored as (
        insert into care.res (dossier, rtype, id, ver, key_no, dict_no, ct) select dossier, rtype, id, ver, key_no, dict_no, ct from moved
    ), indexed as (
        insert into care.index_part (dossier, part_no, ct) select dossier, part_no, part from moved
    )
    select n::int4 from moved"""

CONFLICTS: Final = frozenset({"CL001", "23505", "40001", "40P01"})  # a moved head; unique_violation; serialisation; deadlock
UNKNOWN: Final = "CL002"
REPLACED: Final = "CL003"


class Write(Arguments):
    dossier: Ids = []
    kind: Kinds = []
    expected: Numbers = []  # the head this was built on; 0: a new dossier
    commit: Bytes = []
    key_d: Mediums = []
    key_no: Smalls = []
    key_epoch: Mediums = []
    key_zone: Zones = []
    key_wrapped: Bytes = []
    new_d: Mediums = []
    new_rtype: Smalls = []
    new_id: Ids = []
    new_ver: Mediums = []
    new_key: Smalls = []
    new_dict: Smalls = []
    new_ct: Bytes = []
    upd_d: Mediums = []
    upd_rtype: Smalls = []
    upd_id: Ids = []
    upd_ver: Mediums = []
    upd_key: Smalls = []
    upd_dict: Smalls = []
    upd_ct: Bytes = []
    part_d: Mediums = []
    part_no: Mediums = []
    part_ct: Bytes = []
    drop_d: Mediums = []
    drop_no: Mediums = []
    tok_zone: Zones = []
    tok_d: Mediums = []
    tok_rtype: Smalls = []
    tok_id: Ids = []
    tok_first: Mediums = []
    tok_last: Mediums = []
    toks: Numbers = []
    shard_zone: Zones = []
    shard_no: Numbers = []
    shard_ct: Bytes = []
    shard_drop_zone: Zones = []
    shard_drop_no: Numbers = []


def _checked(arguments: Write) -> None:
    """Raises Invalid unless the columns of each group are of one length and point at a dossier of this write."""
    for group in COLUMNS:
        if len({len(getattr(arguments, name)) for name in group}) != 1:
            raise Invalid("The columns of a write are not of one length.", reason="columns")
    count = len(arguments.dossier)
    for places in (arguments.key_d, arguments.new_d, arguments.upd_d, arguments.part_d, arguments.drop_d, arguments.tok_d):
        if places and not (min(places) >= 1 and max(places) <= count):
            raise Invalid("A row of a write belongs to no dossier of it.", reason="columns")
    if count == 0 and not arguments.shard_no:
        raise Invalid("A write without a dossier.", reason="columns")
    if arguments.expected and min(arguments.expected) < 0:
        raise Invalid("A write names a head that cannot be.", reason="columns")


async def write(call: Call, arguments: Write) -> bool:
    """Whether somebody may have asked to be told of it. Conflict when a head has moved; nothing of the write is kept then."""
    _checked(arguments)
    if not (_adds_one(arguments) and await call.writes.ask(call.zones, arguments)):
        await _alone(call, arguments)
    if SUBSCRIPTION in arguments.new_rtype or SUBSCRIPTION in arguments.upd_rtype:
        call.asked.somebody()
    if call.heads is not None:
        _passed(call.heads, arguments)
    return not call.asked.nobody_lately()


def _passed(heads: Heads, arguments: Write) -> None:
    """The new heads, for whoever opens these dossiers next."""
    if arguments.key_d or len(arguments.part_d) != len(arguments.dossier):
        heads.forget(arguments.dossier)
        return
    for place, number, part in zip(arguments.part_d, arguments.part_no, arguments.part_ct, strict=True):
        dropped = [no for one, no in zip(arguments.drop_d, arguments.drop_no, strict=True) if one == place]
        id, head, blob = arguments.dossier[place - 1], arguments.expected[place - 1], arguments.commit[place - 1]
        heads.wrote(id, head, blob, number, part, dropped)


def _adds_one(arguments: Write) -> bool:
    """A new resource in a known dossier, and nothing else: what most writes are."""
    return (
        len(arguments.dossier) == len(arguments.new_d) == len(arguments.part_d) == 1
        and arguments.expected[0] > 0
        and not (arguments.key_d or arguments.upd_d or arguments.drop_d or arguments.tok_d)
        and not (arguments.shard_no or arguments.shard_drop_no)
    )


async def written_together(database: Connections, zones: tuple[str, ...], asked: Sequence[Write]) -> list[bool]:
    """Of several writes that add one resource each, whether it was stored. What was not is to be tried alone, and told why it cannot be."""
    ordered = sorted(range(len(asked)), key=lambda place: asked[place].dossier[0])  # as everybody locks
    columns = [[getattr(asked[place], name)[0] for place in ordered] for name in EACH]
    try:
        stored = {ordered[row[0] - 1] for row in await database.fetch(WRITE_EACH, zones, *columns)}
    except asyncpg.PostgresError as refused:
        if refused.sqlstate not in CONFLICTS:
            raise
        stored = set()  # one of them stands in the way of all
    return [place in stored for place in range(len(asked))]


async def _alone(call: Call, arguments: Write) -> None:
    try:
        await call.database.execute(WRITE, call.zones, *(getattr(arguments, name) for name in NAMES))
    except asyncpg.PostgresError as refused:
        if refused.sqlstate in CONFLICTS:
            raise Conflict("This record has changed in the meantime.", hint="Read it again and repeat.", reason="head-moved") from refused
        if refused.sqlstate == REPLACED:
            text = "A zone of this write has new keys."
            raise Conflict(text, hint="Repeat it; your session fetches them.", reason="epoch-replaced") from refused
        if refused.sqlstate == UNKNOWN:
            raise Denied("This dossier or zone is not open to you.", reason="zone-not-held") from refused
        raise


STATEMENTS: Final = (Statement("write", Write, write, noted_first=False),)
