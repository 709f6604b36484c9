"""Machines' sealed messages at the gate: put once by device and number, taken up by a session that may write in the zone.

The gate sees who sends, into which zone, how much and when; never what. A message is leased to one session at a time.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Conflict, Denied
from cloister.records.gate.statement import Arguments, Call, Statement, Text

BODY_BYTES_MAX: Final = 5 * 1024 * 1024
WAITING_MAX: Final = 10_000  # of one machine
BATCH_MAX: Final = 20
PROGRAM: Final = "program"

ZONES: Final = """
    select z.id, z.name, z.body, (select e.body from trust.epoch e where e.zone = z.id order by e.epoch desc limit 1)
      from trust.zone z where z.policy -> 'ingest' ? $1 order by z.id limit 500"""
NEXT_NUMBER: Final = "select coalesce(max(seq), 0) + 1 from care.ingest where device = $1"
PUT: Final = """
    insert into care.ingest (device, seq, zone, epoch, body, hash)
    select $1, $2, z.id, $4, $5, $6 from trust.zone z
     where z.id = $3 and z.policy -> 'ingest' ? $1 and $4 = (select max(e.epoch) from trust.epoch e where e.zone = z.id)
       and (select count(*) from care.ingest i where i.device = $1 and i.state = 'waiting') < $7
    on conflict (device, seq) do nothing returning seq"""
THERE: Final = "select hash, state from care.ingest where device = $1 and seq = $2"
NAMED: Final = """
    select (select max(e.epoch) from trust.epoch e where e.zone = z.id) from trust.zone z where z.id = $1 and z.policy -> 'ingest' ? $2"""
# What is in the record need not be kept twice: its hash stays.
LEASE: Final = """
    update care.ingest i set leased_by = $2, leased_until = now() + interval '2 minutes'
      from (select w.device, w.seq from care.ingest w
             where w.zone = any ($1) and w.state = 'waiting' and (w.leased_until is null or w.leased_until < now())
             order by w.made, w.seq limit $3 for update skip locked) n
     where i.device = n.device and i.seq = n.seq
    returning i.device, i.seq, i.zone, i.epoch, i.body"""
CLOSE: Final = """
    update care.ingest set state = $5, reason = $6, leased_until = null, closed = case when $5 = 'waiting' then null else now() end,
           body = case when $5 = 'done' then ''::bytea else body end
     where device = $2 and seq = $3 and zone = any ($1) and leased_by = $4 and state = 'waiting' returning seq"""
AGAIN: Final = """
    update care.ingest set state = 'waiting', reason = '', closed = null, leased_until = null
     where device = $2 and seq = $3 and zone = any ($1) and state = 'refused' returning seq"""
LISTED: Final = """
    select i.zone, i.device, p.name, i.seq, i.made, i.state, i.reason from care.ingest i left join trust.person p on p.id = i.device
     where i.zone = any ($1) and i.state <> 'done' order by i.made, i.device, i.seq limit 500"""
# A number that never came: lost on the way, or taken away by somebody who writes the database.
MISSING: Final = """
    select i.device, max(i.seq) - count(*) from care.ingest i
     where i.device in (select d.device from care.ingest d where d.zone = any ($1))
     group by i.device having max(i.seq) > count(*) limit 500"""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Seq = Annotated[int, Meta(ge=1, le=2**62)]


class Nothing(Arguments):
    pass


class IngestPut(Arguments):
    zone: Name
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    seq: Seq
    body: Annotated[bytes, Meta(min_length=1, max_length=BODY_BYTES_MAX)]


class IngestClose(Arguments):
    device: Name
    seq: Seq
    state: Annotated[str, Meta(pattern="^(done|refused|waiting)$")]
    reason: Text = ""


class IngestOne(Arguments):
    device: Name
    seq: Seq


def _program(call: Call) -> None:
    if call.role != PROGRAM:
        raise Denied("Only a machine seals into a zone.", hint="Write the record instead.", reason="not-a-machine")


async def ingest_zones(call: Call, arguments: Nothing) -> Any:
    """{"zones": [[id, name, signed record, signed newest epoch]], "next": the first number that is free} for the calling machine."""
    _program(call)
    rows = await call.database.fetch(ZONES, call.person)
    return {"zones": [list(row) for row in rows], "next": await call.database.fetchval(NEXT_NUMBER, call.person)}


async def ingest_put(call: Call, arguments: IngestPut) -> Any:
    """{"state": ...}; the same message again is recognised. Conflict(epoch-replaced): fetch the zone's record anew and seal again."""
    _program(call)
    hashed = hashlib.sha256(arguments.body).digest()
    values = (call.person, arguments.seq, arguments.zone, arguments.epoch, arguments.body, hashed, WAITING_MAX)
    if await call.database.fetchval(PUT, *values) is not None:
        return {"state": "waiting", "again": False}
    there = await call.database.fetchrow(THERE, call.person, arguments.seq)
    if there is not None and there["hash"] == hashed:
        return {"state": there["state"], "again": True}
    if there is not None:
        raise Conflict("This number was used for another message.", hint="Count on from the last one.", reason="sequence-taken")
    named = await call.database.fetchrow(NAMED, arguments.zone, call.person)
    if named is None:
        raise Denied("The zone's policy does not name this machine.", hint="Ask the access officer.", reason="device-not-named")
    if named[0] != arguments.epoch:
        raise Conflict("The zone has another key generation now.", hint="Fetch its record and seal again.", reason="epoch-replaced")
    hint = "Wait until somebody of the zone works."
    raise Conflict("Too many messages of this machine are waiting.", hint=hint, reason="too-many-waiting")


async def ingest_next(call: Call, arguments: Nothing) -> Any:
    """[device, seq, zone, epoch, message], leased to the calling session."""
    rows = await call.database.fetch(LEASE, call.zones, call.session, BATCH_MAX)
    return sorted(([*row] for row in rows), key=lambda row: (row[0], row[1]))


async def ingest_close(call: Call, arguments: IngestClose) -> None:
    values = (call.zones, arguments.device, arguments.seq, call.session, arguments.state, arguments.reason)
    if await call.database.fetchval(CLOSE, *values) is None:
        raise Conflict("Another session has taken this message up.", reason="ingest-lease")


async def ingest_again(call: Call, arguments: IngestOne) -> None:
    if await call.database.fetchval(AGAIN, call.zones, arguments.device, arguments.seq) is None:
        raise Conflict("This message is not one that was refused.", hint="Load the page again.", reason="ingest-state")


async def ingest_listed(call: Call, arguments: Nothing) -> Any:
    """{"messages": [zone, device, name, seq, made, state, reason], "missing": {device: numbers that never came}}."""
    rows = await call.database.fetch(LISTED, call.zones)
    missing = await call.database.fetch(MISSING, call.zones)
    messages = [[one.isoformat() if isinstance(one, datetime) else one for one in row] for row in rows]
    return {"messages": messages, "missing": {row[0]: row[1] for row in missing}}


STATEMENTS: Final = (
    Statement("ingest_zones", Nothing, ingest_zones),
    Statement("ingest_put", IngestPut, ingest_put, noted_first=False),
    Statement("ingest_next", Nothing, ingest_next),
    Statement("ingest_close", IngestClose, ingest_close, noted_first=False),
    Statement("ingest_again", IngestOne, ingest_again, noted_first=False),
    Statement("ingest_listed", Nothing, ingest_listed),
)
