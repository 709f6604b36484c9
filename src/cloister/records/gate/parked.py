"""Messages of other systems that could not be written: kept sealed to a zone until a person of it has looked. docs/integration.md.

The gate sees which zone, why in one word, how often and since when, and keyed hashes by which order is kept; never what.
Of one patient and sender the oldest comes first: a later one is written only when none waits before it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Busy, Conflict, Denied, NotFound
from cloister.records.gate.statement import Arguments, Call, Statement, ZoneName

BODY_BYTES_MAX: Final = 5 * 1024 * 1024
WAITING_MAX: Final = 10_000  # of one zone
LISTED_MAX: Final = 500
LINES_MAX: Final = 100

PUT: Final = """
    insert into care.parked (zone, id, message, lines, hash, epoch, reason, body, author)
    select $1::text, $2::uuid, $3::bytea, $4::bytea[], $5::bytea, $6::int4, $7::text, $8::bytea, $9::text
     where $1 = any ($10::text[]) and $6 = (select max(e.epoch) from trust.epoch e where e.zone = $1)
       and (select count(*) from care.parked p where p.zone = $1 and p.state = 'waiting') < $11
    on conflict (zone, message) do nothing returning id"""
FULL: Final = "select count(*) >= $2 from care.parked where zone = $1 and state = 'waiting'"
HELD: Final = """
    select (select row_to_json(m) from (select p.state, encode(p.hash, 'hex') as hash, p.no from care.parked p
              where p.zone = $1 and p.message = $2) m)::text,
           (select count(*) from care.parked p where p.zone = $1 and p.state = 'waiting' and p.lines && $3
               and p.no < coalesce((select o.no from care.parked o where o.zone = $1 and o.message = $2), 9223372036854775807))"""
LISTED: Final = """
    select p.zone, p.id::text, p.reason, p.tries, p.made, p.author,
           exists (select from care.parked e where e.zone = p.zone and e.state = 'waiting' and e.lines && p.lines and e.no < p.no)
      from care.parked p where p.zone = any ($1) and p.state = 'waiting' order by p.no limit $2"""
COUNTED: Final = "select count(*) from care.parked where zone = any ($1) and state = 'waiting'"
ONE: Final = """
    select p.zone, p.id::text, p.reason, p.tries, p.made, p.author, p.epoch, p.body, p.message, p.lines, p.hash,
           exists (select from care.parked e where e.zone = p.zone and e.state = 'waiting' and e.lines && p.lines and e.no < p.no)
      from care.parked p where p.zone = any ($1) and p.id = $2 and p.state = 'waiting'"""
# What was written need not be kept twice; what a person put aside is not kept at all. The hash stays, for the sender who repeats it.
CLOSE: Final = """
    update care.parked set state = $3, reason = $4, tries = tries + 1, closed_by = $5,
           closed = case when $3 = 'waiting' then null else now() end, body = case when $3 = 'waiting' then body else ''::bytea end
     where zone = any ($1) and id = $2 and state = 'waiting' returning id"""

# A message is taken by one session at a time, and so is a patient of one sender: two sessions that both found nobody would both
# bring them. A session that died in between keeps nobody waiting for longer than this.
CLAIM: Final = """
    insert into care.parked_line (zone, line, session, until)
    select $1, l, $3, now() + interval '60 seconds' from unnest($2::bytea[]) l order by l
    on conflict (zone, line) do update set session = excluded.session, until = excluded.until
     where parked_line.until < now() or parked_line.session = excluded.session
    returning line"""
RELEASE: Final = "delete from care.parked_line where zone = $1 and line = any ($2::bytea[]) and session = $3"

Token = Annotated[bytes, Meta(min_length=16, max_length=16)]
Lines = Annotated[list[Token], Meta(max_length=LINES_MAX)]
Reason = Annotated[str, Meta(pattern="^[a-z0-9-]{1,60}$")]


class Nothing(Arguments):
    pass


class ParkedPut(Arguments):
    zone: ZoneName
    id: Token
    message: Token
    lines: Lines
    hash: Annotated[bytes, Meta(min_length=32, max_length=32)]
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    reason: Reason
    body: Annotated[bytes, Meta(min_length=1, max_length=BODY_BYTES_MAX)]


class ParkedHeld(Arguments):
    zone: ZoneName
    message: Token
    lines: Lines


class ParkedOne(Arguments):
    id: Token


class ParkedClose(Arguments):
    id: Token
    state: Annotated[str, Meta(pattern="^(done|dropped|waiting)$")]
    reason: Reason


async def parked_put(call: Call, arguments: ParkedPut) -> None:
    """Kept when this returns. Conflict(epoch-replaced): seal again to the zone's present key."""
    if arguments.zone not in call.zones:
        raise Denied("You do not hold this zone.", hint="Ask the access officer.", reason="zone-not-held")
    values = (arguments.zone, arguments.id, arguments.message, arguments.lines, arguments.hash, arguments.epoch)
    more = (arguments.reason, arguments.body, call.person, call.zones, WAITING_MAX)
    if await call.database.fetchval(PUT, *values, *more) is not None:
        return
    if await call.database.fetchval(FULL, arguments.zone, WAITING_MAX):
        raise Conflict("Too many messages of this zone are waiting.", hint="Look at those that wait first.", reason="too-many-waiting")
    raise Conflict("The message is kept already, or the zone has another key generation.", hint="Send it again.", reason="parked-race")


async def parked_held(call: Call, arguments: ParkedHeld) -> Any:
    """[the row of this very message as JSON or None, how many of the same patient wait before it]; claimed for this session.

    Busy(line-taken) while another session has the message, or one about the same patient.
    """
    if arguments.zone not in call.zones:
        raise Denied("You do not hold this zone.", hint="Ask the access officer.", reason="zone-not-held")
    wanted = sorted({arguments.message, *arguments.lines})
    claimed = [row[0] for row in await call.database.fetch(CLAIM, arguments.zone, wanted, call.session)]
    if len(claimed) < len(wanted):
        await call.database.execute(RELEASE, arguments.zone, claimed, call.session)
        raise Busy("Another session takes a message about this patient.", hint="Send it again in a moment.", reason="line-taken")
    row = await call.database.fetchrow(HELD, arguments.zone, arguments.message, arguments.lines)
    return [row[0], row[1]] if row is not None else [None, 0]


async def parked_done(call: Call, arguments: ParkedHeld) -> None:
    """The claim of `parked_held` is given back."""
    await call.database.execute(RELEASE, arguments.zone, sorted({arguments.message, *arguments.lines}), call.session)


async def parked_listed(call: Call, arguments: Nothing) -> Any:
    """{"waiting": how many, "messages": [zone, id, reason, tries, since, author, whether one waits before it]}, oldest first."""
    rows = await call.database.fetch(LISTED, call.zones, LISTED_MAX)
    return {"waiting": await call.database.fetchval(COUNTED, call.zones), "messages": [_shown(row) for row in rows]}


async def parked_one(call: Call, arguments: ParkedOne) -> Any:
    row = await call.database.fetchrow(ONE, call.zones, arguments.id)
    if row is None:
        raise NotFound("This message does not wait any more.", hint="Load the list again.", reason="parked-state")
    return [*_shown(row[:6]), *row[6:]]


async def parked_close(call: Call, arguments: ParkedClose) -> None:
    if await call.database.fetchval(CLOSE, call.zones, arguments.id, arguments.state, arguments.reason, call.person) is None:
        raise Conflict("This message does not wait any more.", hint="Load the list again.", reason="parked-state")


def _shown(row: Any) -> list[Any]:
    return [one.isoformat() if hasattr(one, "isoformat") else one for one in row]


STATEMENTS: Final = (
    Statement("parked_put", ParkedPut, parked_put, noted_first=False),
    Statement("parked_held", ParkedHeld, parked_held),
    Statement("parked_done", ParkedHeld, parked_done),
    Statement("parked_listed", Nothing, parked_listed),
    Statement("parked_one", ParkedOne, parked_one),
    Statement("parked_close", ParkedClose, parked_close, noted_first=False),
)
