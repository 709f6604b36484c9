"""What a privacy officer's session asks of the audit log: sealed keys of hours, sealed entries by token, gaps. Opens nothing.

Only for the role privacy-officer; each search is itself an entry of the log. docs/spec/zones.md 14.3.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from cloister.audit import store
from cloister.base.errors import Denied, Invalid
from cloister.records.gate.statement import Arguments, Call, RowId, Statement

ROLE: Final = "privacy-officer"
KEYS_MAX: Final = 20_000
PAGE_MAX: Final = 500
RECENT: Final = 200_000  # entries over which gaps are counted for the page; `cloister audit verify` counts all

FIND: Final = {
    what: f"""
    select e.seq, e.at, e.source, e.number, e.category, e.named, e.key, e.actor, e.object, e.patient, e.sealed, e.leaf
      from unnest($1::int[], $2::int8[]) w (key, token) join audit.event e on e.key = w.key and e.{what} = w.token
     where e.seq < $3 order by e.seq desc limit $4"""
    for what in ("actor", "object", "patient")
}
ALL: Final = f"select {store.COLUMNS} from audit.event where key = any ($1) and seq < $2 order by seq desc limit $3"
DOSSIERS: Final = "select distinct dossier from care.res where id = $1 order by dossier limit 100"
LAST: Final = "select coalesce(max(seq), -1) from audit.event"

Moment = Annotated[int, Meta(ge=0, le=253_370_764_800)]  # seconds since 1970


class AuditKeysOf(Arguments):
    since: Moment
    until: Moment


class AuditFind(Arguments):
    """`tokens` beside `keys`, one for each; none with `what` empty, which finds everything of these hours."""

    keys: Annotated[list[int], Meta(max_length=KEYS_MAX)]
    what: Literal["actor", "object", "patient", ""] = ""
    tokens: Annotated[list[int], Meta(max_length=KEYS_MAX)] = []
    before: Annotated[int, Meta(ge=0, le=2**62)] = 2**62
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


class AuditDossiers(Arguments):
    patient: RowId


class AuditGaps(Arguments):
    pass


def _check(call: Call) -> None:
    if call.role != ROLE:
        raise Denied("Only a privacy officer looks into the audit log.", reason="role")


async def audit_keys(call: Call, arguments: AuditKeysOf) -> Any:
    """[number, begins in seconds, office, sealed key] of these hours, newest first."""
    _check(call)
    span = (datetime.fromtimestamp(moment, UTC) for moment in (arguments.since, arguments.until))
    rows = await call.database.fetch(store.KEYS, *span)
    return [[row["number"], int(row["begins"].timestamp()), row["office"], row["sealed"]] for row in rows]


async def audit_find(call: Call, arguments: AuditFind) -> Any:
    """Sealed entries, newest first: [number, microseconds, source, number of the source, category, named, key, tokens, body]."""
    _check(call)
    if arguments.what:
        if len(arguments.keys) != len(arguments.tokens):
            raise Invalid("Each hour needs its token.", reason="columns")
        values: tuple[Any, ...] = (arguments.keys, arguments.tokens, arguments.before, arguments.limit)
        rows = await call.database.fetch(FIND[arguments.what], *values)
    else:
        rows = await call.database.fetch(ALL, arguments.keys, arguments.before, arguments.limit)
    return [_row(row) for row in rows]


def _row(row: Any) -> list[Any]:
    """The time goes as ISO 8601 with microseconds: it is bound into what is sealed."""
    return [row["at"].isoformat() if name == "at" else row[name] for name in WIRE]


WIRE: Final = ("seq", "at", "source", "number", "category", "named", "key", "actor", "object", "patient", "sealed")


async def audit_dossiers(call: Call, arguments: AuditDossiers) -> Any:
    """The dossiers that hold this patient: their names are what entries name."""
    _check(call)
    return [str(uuid.UUID(bytes=row[0])) for row in await call.database.fetch(DOSSIERS, arguments.patient)]


async def audit_gaps(call: Call, arguments: AuditGaps) -> Any:
    """[source, first number, last number, how many] among the latest entries: fewer than last - first + 1 is a gap."""
    _check(call)
    last = await call.database.fetchval(LAST)
    rows = await call.database.fetch(store.COUNTED, max(-1, last - RECENT))
    return [[row["source"], row["first"], row["last"], row["count"]] for row in rows]


STATEMENTS: Final = (
    Statement("audit_keys", AuditKeysOf, audit_keys),
    Statement("audit_find", AuditFind, audit_find),
    Statement("audit_dossiers", AuditDossiers, audit_dossiers),
    Statement("audit_gaps", AuditGaps, audit_gaps),
)
