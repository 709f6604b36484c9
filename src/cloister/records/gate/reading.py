"""Statements that fetch sealed rows by their place: rows, versions, and what opens a dossier.

Each is one SQL statement, so one snapshot: the head it returns belongs to the rows it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.records.gate.connections import Connections
from cloister.records.gate.statement import ROWS_MAX, Arguments, Call, Medium, Number, RowId, Small, Statement, fetch, visible
from cloister.records.gate.together import Zones

DOSSIERS_MAX: Final = 200  # opened in one call
VERSIONS_MAX: Final = 1000
FEW_ROWS: Final = 64  # of one dossier: what a search shows, and others may join
FEW: Final = 4  # dossiers: what a reading or a writing asks for, and others may join

ROWS_BY_ID: Final = f"""
    with r as materialized (
        select dossier, id, ver, key_no, dict_no, ct from care.res where id = any ($2) and rtype = $3
    )
    select r.dossier, r.id, r.ver, r.key_no, r.dict_no, r.ct, d.seq
      from r join care.dossier d on d.id = r.dossier
     where {visible("r.dossier")}
     order by r.id, r.dossier limit {ROWS_MAX}"""

# The same for several callers with the same zones: each asks for one row.
ROWS_TOGETHER: Final = f"""
    with r as materialized (
        select w.n::int4, r.dossier, r.id, r.ver, r.key_no, r.dict_no, r.ct
          from unnest($2::int2[], $3::uuid[]) with ordinality w (rtype, id, n)
          join care.res r on r.id = w.id and r.rtype = w.rtype
    )
    select r.n, r.dossier, r.id, r.ver, r.key_no, r.dict_no, r.ct, d.seq
      from r join care.dossier d on d.id = r.dossier
     where {visible("r.dossier")}
     order by r.n, r.dossier limit {ROWS_MAX}"""

# The rows of one dossier, which is what a chart's page is; and of several.
ROWS_OF_ONE: Final = f"""
    with v as materialized (select d.seq from care.dossier d where d.id = $2 and {visible("d.id")})
    select w.n::int4, v.seq, r.ver, r.key_no, r.dict_no, r.ct
      from v cross join unnest($3::int2[], $4::uuid[]) with ordinality w (rtype, id, n)
      left join care.res r on r.dossier = $2 and r.rtype = w.rtype and r.id = w.id
     order by w.n limit {ROWS_MAX}"""
ROWS: Final = f"""
    select w.n::int4, d.seq, r.ver, r.key_no, r.dict_no, r.ct
      from unnest($2::uuid[], $3::int2[], $4::uuid[]) with ordinality w (dossier, rtype, id, n)
      join care.dossier d on d.id = w.dossier
      left join care.res r on r.dossier = w.dossier and r.rtype = w.rtype and r.id = w.id
     where {visible("w.dossier")}
     order by w.n limit {ROWS_MAX}"""

# The same for several callers with the same zones: each asks for rows of one dossier.
ROWS_OF_EACH: Final = f"""
    with a as materialized (
        select x.n, x.id, d.seq from unnest($2::uuid[]) with ordinality x (id, n)
          join care.dossier d on d.id = x.id
         where {visible("x.id")}
    )
    select w.n::int4, a.seq, r.ver, r.key_no, r.dict_no, r.ct
      from unnest($3::int8[], $4::int2[], $5::uuid[]) with ordinality w (asked, rtype, id, n)
      join a on a.n = w.asked
      left join care.res r on r.dossier = a.id and r.rtype = w.rtype and r.id = w.id
     order by w.n limit {ROWS_MAX}"""

VERSIONS: Final = f"""
    with v as materialized (select d.seq from care.dossier d where d.id = $2 and {visible("d.id")}),
    rows as (
        select ver, key_no, dict_no, ct from care.res where dossier = $2 and rtype = $3 and id = $4
        union all
        select ver, key_no, dict_no, ct from care.res_hist where dossier = $2 and rtype = $3 and id = $4
    )
    select v.seq, rows.ver, rows.key_no, rows.dict_no, sha256(rows.ct), case when $5 = 0 or rows.ver = $5 then rows.ct end
      from v cross join rows
     order by rows.ver desc limit {VERSIONS_MAX}"""

# All versions of several resources: what the history of a type is made of.
PAST: Final = f"""
    select w.n::int4, d.seq, r.ver, r.key_no, r.dict_no, sha256(r.ct), r.ct
      from unnest($2::uuid[], $3::int2[], $4::uuid[]) with ordinality w (dossier, rtype, id, n)
      join care.dossier d on d.id = w.dossier
     cross join lateral (
        select c.ver, c.key_no, c.dict_no, c.ct from care.res c where c.dossier = w.dossier and c.rtype = w.rtype and c.id = w.id
        union all
        select h.ver, h.key_no, h.dict_no, h.ct from care.res_hist h where h.dossier = w.dossier and h.rtype = w.rtype and h.id = w.id
     ) r
     where {visible("w.dossier")}
     order by w.n, r.ver limit {ROWS_MAX}"""

LOCATE: Final = f"""
    with r as materialized (
        select w.n::int4, r.dossier
          from unnest($2::int2[], $3::uuid[]) with ordinality w (rtype, id, n)
          join care.res r on r.id = w.id and r.rtype = w.rtype
    )
    select r.n, r.dossier, d.kind
      from r join care.dossier d on d.id = r.dossier
     where {visible("r.dossier")}
     order by r.n, r.dossier limit {ROWS_MAX}"""

# part 0: the head; 1: wrapped keys for the caller's zones; 2: index parts newer than `since`; 3: the numbers of all parts.
# Of a dossier whose head is the one that the caller knows there is only part 0, without the commit.
OPEN: Final = f"""
    with w as materialized (
        select u.id, u.since, d.seq, d.kind, d.seq is distinct from u.seq as moved
          from unnest($2::uuid[], $3::int4[], $4::int8[]) u (id, since, seq)
          left join care.dossier d on d.id = u.id
         where {visible("u.id")}
    )
    select 0::int2, w.id, w.seq, 0::int4, w.kind, null::bytea from w where not w.moved
    union all
    select 0::int2, w.id, w.seq, 0::int4, w.kind, c.blob
      from w join care.commit c on c.dossier = w.id and c.seq = w.seq where w.moved
    union all
    select 1::int2, k.dossier, k.key_no::int8, k.epoch, k.zone, k.wrapped
      from w join care.dossier_key k on k.dossier = w.id where w.moved and k.zone = any ($1)
    union all
    select 2::int2, i.dossier, i.part_no::int8, 0::int4, null, i.ct
      from w join care.index_part i on i.dossier = w.id and i.part_no > w.since where w.moved
    union all
    select 3::int2, w.id, 0::int8, 0::int4, (select string_agg(i.part_no::text, ' ') from care.index_part i where i.dossier = w.id), null
      from w where w.moved"""

COMMITS: Final = f"""
    select c.seq, c.blob from care.commit c
     where c.dossier = $2 and c.seq > $3 and {visible("$2")}
     order by c.seq limit {VERSIONS_MAX}"""


class RowsById(Arguments):
    """`open`: the caller has probably not opened these dossiers, and wants what opens them in the same answer."""

    rtype: Small
    ids: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]
    open: bool = False


class Rows(Arguments):
    """`known`, `since` and `seqs` say which heads of these dossiers the caller knows (as in Open)."""

    dossiers: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]
    rtypes: Annotated[list[Small], Meta(max_length=ROWS_MAX)]
    ids: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]
    known: Annotated[list[RowId], Meta(max_length=ROWS_MAX)] = []
    since: Annotated[list[Medium], Meta(max_length=ROWS_MAX)] = []
    seqs: Annotated[list[Number], Meta(max_length=ROWS_MAX)] = []


class Versions(Arguments):
    dossier: RowId
    rtype: Small
    id: RowId
    version: Medium = 0  # 0: the ciphertext of all


class Past(Arguments):
    dossiers: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]
    rtypes: Annotated[list[Small], Meta(max_length=ROWS_MAX)]
    ids: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]


class Locate(Arguments):
    rtypes: Annotated[list[Small], Meta(max_length=ROWS_MAX)]
    ids: Annotated[list[RowId], Meta(max_length=ROWS_MAX)]


class Open(Arguments):
    """`recent`: the oldest heads that will do, because a write is built on them; left out, they are those of now."""

    dossiers: Annotated[list[RowId], Meta(max_length=DOSSIERS_MAX)]
    since: Annotated[list[Medium], Meta(max_length=DOSSIERS_MAX)]
    seqs: Annotated[list[Number], Meta(max_length=DOSSIERS_MAX)]
    recent: Annotated[list[Number], Meta(max_length=DOSSIERS_MAX)] = []


class Commits(Arguments):
    dossier: RowId
    after: Annotated[int, Meta(ge=0)] = 0


async def rows_together(database: Connections, zones: Zones, asked: Sequence[tuple[int, bytes]]) -> list[list[tuple[Any, ...]]]:
    """The rows of each (type, id), as ROWS_BY_ID gives them."""
    rows = await database.fetch(ROWS_TOGETHER, zones, [rtype for rtype, _ in asked], [id for _, id in asked])
    if len(rows) >= ROWS_MAX:  # an id that stands in thousands of dossiers must not cut others short
        return [[tuple(row) for row in await database.fetch(ROWS_BY_ID, zones, [id], rtype)] for rtype, id in asked]
    answers: list[list[tuple[Any, ...]]] = [[] for _ in asked]
    for place, *row in rows:
        answers[place - 1].append(tuple(row))
    return answers


async def opened_together(database: Connections, zones: Zones, asked: Sequence[Open]) -> list[list[tuple[Any, ...]]]:
    """What OPEN gives to each. Two who ask for the same dossier know different heads of it, so they are asked for apart."""
    answers: list[list[tuple[Any, ...]]] = [[] for _ in asked]
    left = list(enumerate(asked))
    while left:
        whose: dict[bytes, int] = {}
        now, later = [], []
        for place, one in left:
            if whose.keys().isdisjoint(one.dossiers):
                whose.update(dict.fromkeys(one.dossiers, place))
                now.append(one)
            else:
                later.append((place, one))
        columns = [[value for one in now for value in getattr(one, name)] for name in ("dossiers", "since", "seqs")]
        for row in await database.fetch(OPEN, zones, *columns):
            answers[whose[row[1]]].append(tuple(row))
        left = later
    return answers


async def charts_together(database: Connections, zones: Zones, asked: Sequence[Rows]) -> list[list[tuple[Any, ...]]]:
    """What ROWS_OF_ONE gives to each, of whom each asks for few rows of one dossier."""
    places = [place for place, one in enumerate(asked, start=1) for _ in one.ids]
    rtypes, ids = [rtype for one in asked for rtype in one.rtypes], [id for one in asked for id in one.ids]
    starts = [0]
    for one in asked:
        starts.append(starts[-1] + len(one.ids))
    answers: list[list[tuple[Any, ...]]] = [[] for _ in asked]
    for number, *row in await database.fetch(ROWS_OF_EACH, zones, [one.dossiers[0] for one in asked], places, rtypes, ids):
        place = places[number - 1] - 1
        answers[place].append((number - starts[place], *row))
    return answers


async def rows_by_id(call: Call, arguments: RowsById) -> Any:
    """[rows, what opens their dossiers if that was asked for]."""
    if len(arguments.ids) == 1:
        found = await call.rows.ask(call.zones, (arguments.rtype, arguments.ids[0]))
    else:
        found = await fetch(call, ROWS_BY_ID, call.zones, arguments.ids, arguments.rtype)
    if not found or not arguments.open:
        return found, []
    ids = list({row[0]: None for row in found})[:DOSSIERS_MAX]
    return found, await fetch(call, OPEN, call.zones, ids, [0] * len(ids), [0] * len(ids))


async def rows(call: Call, arguments: Rows) -> Any:
    """[rows, what opens those of the known dossiers whose head has moved]: most searches need no further call."""
    alone = len(set(arguments.dossiers)) == 1
    if alone and len(arguments.dossiers) == len(arguments.rtypes) == len(arguments.ids) <= FEW_ROWS:
        found = await call.charts.ask(call.zones, arguments)
    elif alone:
        found = await fetch(call, ROWS_OF_ONE, call.zones, arguments.dossiers[0], arguments.rtypes, arguments.ids)
    else:
        found = await fetch(call, ROWS, call.zones, arguments.dossiers, arguments.rtypes, arguments.ids)
    heads = {arguments.dossiers[row[0] - 1]: row[1] for row in found}
    known = zip(arguments.known, arguments.since, arguments.seqs, strict=False)
    moved = [one for one in known if heads.get(one[0], one[2]) != one[2]]
    if not moved:
        return found, []
    opening: list[tuple[Any, ...]] = []
    asked = []
    for id, since, seq in moved:
        passed = call.heads.answer(call.zones, id, since, seq, at=heads[id]) if call.heads is not None else None
        if passed is not None:
            opening += passed
        else:
            asked.append((id, since, seq))
    if asked:
        ids, sinces, seqs = (list(column) for column in zip(*asked, strict=True))
        opening += await _opened(call, Open(dossiers=ids, since=sinces, seqs=seqs))
    return found, opening


async def versions(call: Call, arguments: Versions) -> Any:
    return await fetch(call, VERSIONS, call.zones, arguments.dossier, arguments.rtype, arguments.id, arguments.version)


async def past(call: Call, arguments: Past) -> Any:
    return await fetch(call, PAST, call.zones, arguments.dossiers, arguments.rtypes, arguments.ids)


async def locate(call: Call, arguments: Locate) -> Any:
    return await fetch(call, LOCATE, call.zones, arguments.rtypes, arguments.ids)


async def open_dossiers(call: Call, arguments: Open) -> Any:
    recent = _recent(call, arguments)
    return await _opened(call, arguments) if recent is None else recent


def _recent(call: Call, arguments: Open) -> list[tuple[Any, ...]] | None:
    """What passed through this gate a moment ago, where that will do for all of them."""
    if call.heads is None or len(arguments.recent) != len(arguments.dossiers):
        return None
    found: list[tuple[Any, ...]] = []
    for id, since, seq, least in zip(arguments.dossiers, arguments.since, arguments.seqs, arguments.recent, strict=False):
        passed = call.heads.answer(call.zones, id, since, seq)
        if passed is None or passed[0][2] < least:
            return None
        found += passed
    return found


async def _opened(call: Call, arguments: Open) -> list[tuple[Any, ...]]:
    asked = call.heads.now() if call.heads is not None else 0.0
    found = await _asked_for(call, arguments)
    if call.heads is not None and len(arguments.dossiers) <= FEW:
        call.heads.learn(call.zones, found, asked)
    return found


async def _asked_for(call: Call, arguments: Open) -> list[tuple[Any, ...]]:
    if len(arguments.dossiers) <= FEW and len(arguments.dossiers) == len(arguments.since) == len(arguments.seqs):
        found: list[tuple[Any, ...]] = await call.opened.ask(call.zones, arguments)
        return found
    return await fetch(call, OPEN, call.zones, arguments.dossiers, arguments.since, arguments.seqs)


async def commits(call: Call, arguments: Commits) -> Any:
    return await fetch(call, COMMITS, call.zones, arguments.dossier, arguments.after)


STATEMENTS: Final = (
    Statement("rows_by_id", RowsById, rows_by_id),
    Statement("rows", Rows, rows),
    Statement("versions", Versions, versions),
    Statement("past", Past, past),
    Statement("locate", Locate, locate),
    Statement("open_dossiers", Open, open_dossiers),
    Statement("commits", Commits, commits),
)
