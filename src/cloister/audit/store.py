"""The audit log's statements, for the store gate: append and read, never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloister.audit.checkpoint import Checkpoint
from cloister.audit.entry import TEXT_FIELDS, Entry
from cloister.audit.log import Row

MIGRATIONS: Final = Path(__file__).parent / "migrations"

# One round trip for a whole group of entries; arguments by `append_arguments`.
APPEND: Final = """
    insert into audit.event (seq, at, actor, session, action, kind, object, outcome, reason, source, leaf)
    select * from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[])"""

APPEND_CHECKPOINT: Final = """
    insert into audit.checkpoint (size, root, at, signature, nodes) values ($1, $2, $3, $4, $5)
    on conflict (size) do nothing"""

LAST_CHECKPOINT: Final = "select size, root, at, signature, nodes from audit.checkpoint order by size desc limit 1"
CHECKPOINTS: Final = "select size, root, at, signature, nodes from audit.checkpoint where size > $1 order by size limit 1000"

# A page of the log in order; $1 is the last number already seen, -1 at first.
EVENTS_AFTER: Final = """
    select seq, at, actor, session, action, kind, object, outcome, reason, source, leaf
      from audit.event where seq > $1 order by seq limit 10000"""

TAIL: Final = """
    select seq, at, actor, session, action, kind, object, outcome, reason, source, leaf
      from audit.event order by seq desc limit $1"""

EVENTS_OF_OBJECT: Final = """
    select seq, at, actor, session, action, kind, object, outcome, reason, source, leaf
      from audit.event where object = $1 order by seq desc limit $2"""


def append_arguments(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    texts = ([getattr(row.entry, name) for row in rows] for name in TEXT_FIELDS)
    return ([row.seq for row in rows], [row.entry.at for row in rows], *texts, [row.leaf for row in rows])


def checkpoint_arguments(checkpoint: Checkpoint) -> tuple[int, bytes, Any, bytes, bytes]:
    return checkpoint.size, checkpoint.root, checkpoint.at, checkpoint.signature, checkpoint.nodes


def row_of(record: Mapping[str, Any]) -> Row:
    return Row(record["seq"], Entry(record["at"], *(record[name] for name in TEXT_FIELDS)), bytes(record["leaf"]))


def checkpoint_of(trust: str, record: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(trust, record["size"], bytes(record["root"]), record["at"], bytes(record["signature"]), bytes(record["nodes"]))
