"""The audit log's statements, for the store gate and for whoever checks the log: append and read, never change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloister.audit.checkpoint import Checkpoint
from cloister.audit.entry import DataKey, Sealed
from cloister.audit.log import Row, Step
from cloister.audit.tree import TILE_NODES, Frontier, Range, Tiles, consistency_ranges, tiles_for

MIGRATIONS: Final = Path(__file__).parent / "migrations"
ROWS_PAGE: Final = 10_000  # of EVENTS_AFTER

Fetch = Callable[..., Awaitable[Sequence[Any]]]  # runs a statement: sql, values

# One round trip for a whole group of entries with the nodes that they complete; arguments by `append_arguments`.
APPEND: Final = """
    with entries as (
        insert into audit.event (seq, at, source, number, category, named, key, actor, object, patient, sealed, leaf)
        select * from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bigint[], $5::text[], $6::bytea[], $7::int[],
                             $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[], $12::bytea[]))
    insert into audit.node (level, place, hash) select * from unnest($13::int2[], $14::bigint[], $15::bytea[])"""

COLUMNS: Final = "seq, at, source, number, category, named, key, actor, object, patient, sealed, leaf"
# In order; $1 is the last one already seen, -1 at first.
EVENTS_AFTER: Final = f"select {COLUMNS} from audit.event where seq > $1 order by seq limit {ROWS_PAGE}"
TAIL: Final = f"select {COLUMNS} from audit.event where seq > $1 order by seq desc limit $2"
ENTRY_OF_OBJECT: Final = f"select {COLUMNS} from audit.event where named = any ($1::bytea[]) order by seq limit 100000"

APPEND_KEY: Final = "insert into audit.data_key (number, begins, office, sealed) values ($1, $2, $3, $4)"
LAST_KEY: Final = "select coalesce(max(number), 0) from audit.data_key"
KEYS: Final = """
    select number, begins, office, sealed from audit.data_key where begins >= $1 and begins < $2 order by number desc limit 20000"""

APPEND_CHECKPOINT: Final = """
    insert into audit.checkpoint (size, at, note) values ($1, $2, $3) on conflict (size, at) do nothing"""
LAST_CHECKPOINT: Final = "select size, at, note from audit.checkpoint order by size desc, at desc limit 1"
CHECKPOINTS: Final = """
    select size, at, note from audit.checkpoint where (size, at) > ($1, $2::timestamptz) order by size, at limit 1000"""

LEAVES: Final = f"select leaf from audit.event where seq >= $1 and seq < $1 + {TILE_NODES} order by seq limit {TILE_NODES}"
NODES: Final = f"""
    select hash from audit.node where level = $1 and place >= $2 and place < $2 + {TILE_NODES} order by place limit {TILE_NODES}"""

APPEND_COSIGNATURE: Final = """
    insert into audit.cosignature (witness, size, at, line) values ($1, $2, $3, $4) on conflict (witness, size, at) do nothing"""
LAST_COSIGNATURES: Final = """
    select distinct on (witness) witness, size, at, line from audit.cosignature order by witness, size desc, at desc limit 100"""
# Of rows after $1: how many each source wrote, and their first and last number. Equal counts mean no gap.
COUNTED: Final = """
    select source, min(number) as first, max(number) as last, count(*) as count, max(seq) as seq
      from audit.event where seq > $1 group by source order by source limit 10000"""


def append_arguments(step: Step) -> tuple[list[Any], ...]:
    entries = [row.entry for row in step.rows]
    return (
        [row.seq for row in step.rows], [e.at for e in entries], [e.source for e in entries], [e.number for e in entries],
        [e.category for e in entries], [e.named or None for e in entries], [e.key for e in entries], [e.actor for e in entries],
        [e.object for e in entries], [e.patient for e in entries], [e.body for e in entries], [row.leaf for row in step.rows],
        [level for level, _, _ in step.nodes], [place for _, place, _ in step.nodes], [node for _, _, node in step.nodes],
    )  # fmt: skip


def key_arguments(key: DataKey) -> tuple[Any, ...]:
    return key.number, key.begins, key.office, key.sealed


def checkpoint_arguments(checkpoint: Checkpoint) -> tuple[Any, ...]:
    return checkpoint.size, checkpoint.at, checkpoint.note


def sealed_of(record: Mapping[str, Any]) -> Sealed:
    return Sealed(
        record["at"], record["source"], record["number"], record["category"], bytes(record["named"] or b""), record["key"],
        record["actor"], record["object"], record["patient"], bytes(record["sealed"]),
    )  # fmt: skip


def row_of(record: Mapping[str, Any]) -> Row:
    return Row(record["seq"], sealed_of(record), bytes(record["leaf"]))


async def tiles(fetch: Fetch, ranges: Iterable[Range], known: dict[tuple[int, int], bytes] | None = None) -> Tiles:
    """What `Tiles` needs for these ranges: a read of at most 256 short rows for each tile."""
    found = {}
    for level, number in sorted(tiles_for(ranges, known or ())):
        rows = await (fetch(LEAVES, number * TILE_NODES) if level == 0 else fetch(NODES, level, number * TILE_NODES))
        found[level, number] = [bytes(row[0]) for row in rows]
    return Tiles(found, known)


async def frontier(fetch: Fetch, size: int) -> Frontier:
    return (await tiles(fetch, [(0, size)])).frontier(size)


async def consistency_proof(fetch: Fetch, old_size: int, size: int) -> list[bytes]:
    ranges = consistency_ranges(old_size, size)
    read = await tiles(fetch, ranges)
    return [read.hash(one) for one in ranges]
