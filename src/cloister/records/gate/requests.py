"""The letter box between sessions: one session asks, others answer, while the request is open. Schema trust.request.

What is asked and answered is signed or sealed by the sessions (offices room); the gate only says who sent it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Conflict, Denied, NotFound
from cloister.base.ids import new_id
from cloister.records.gate.statement import Arguments, Call, Statement, Text

BODY_BYTES_MAX: Final = 64 * 1024
PARTS_MAX: Final = 64
AUDIENCE_MAX: Final = 500
OPEN_OF_ONE_PERSON_MAX: Final = 20
SECONDS_MAX: Final = 30 * 24 * 3600

OPEN: Final = """
    insert into trust.request (id, kind, zone, person, session, audience, body, until)
    select $1, $2, $3, $4, $5, $6, $7, now() + $8
     where (select count(*) from trust.request where person = $4 and state = 'open' and now() < until) < $9
    returning id"""
# Those that the caller made, or is asked in: $1 person, $2 role.
LIST: Final = """
    select r.id, r.kind, r.zone, r.person, p.name, r.session, r.body, case when r.state = 'open' and now() >= r.until
           then 'expired' else r.state end, r.made, r.until, (select count(*) from trust.request_part t where t.request = r.id)
      from trust.request r join trust.person p on p.id = r.person
     where r.kind = any ($3) and (not $4 or (r.state = 'open' and now() < r.until))
       and (r.person = $1 or r.audience && array[$1, $2])
     order by r.made desc limit 500"""
ONE: Final = """
    select r.id, r.kind, r.zone, r.person, p.name, r.session, r.body, case when r.state = 'open' and now() >= r.until
           then 'expired' else r.state end, r.made, r.until
      from trust.request r join trust.person p on p.id = r.person
     where r.id = $3 and (r.person = $1 or r.audience && array[$1, $2])"""
PARTS: Final = """
    select t.number, t.person, p.name, t.kind, t.body, t.made from trust.request_part t join trust.person p on p.id = t.person
     where t.request = $1 order by t.number limit 100"""
ADD_PART: Final = """
    insert into trust.request_part (request, number, person, kind, body)
    select r.id, coalesce((select max(t.number) + 1 from trust.request_part t where t.request = r.id), 0), $1, $4, $5
      from trust.request r
     where r.id = $3 and r.state = 'open' and now() < r.until and (r.person = $1 or r.audience && array[$1, $2])
       and (select count(*) from trust.request_part t where t.request = r.id) < $6
    returning number"""
CLOSE: Final = """
    update trust.request r set state = $4, closed = now(), closed_by = $1
     where r.id = $3 and r.state = 'open' and (r.person = $1 or r.audience && array[$1, $2]) returning r.id"""

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Body = Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]


class RequestOpen(Arguments):
    """`audience`: ids of people and names of roles who may see the request and answer it."""

    kind: Name
    body: Body
    audience: Annotated[list[Name], Meta(min_length=1, max_length=AUDIENCE_MAX)]
    seconds: Annotated[int, Meta(ge=1, le=SECONDS_MAX)]
    zone: Name | None = None


class RequestList(Arguments):
    kinds: Annotated[list[Name], Meta(max_length=20)]
    open_only: bool = True


class RequestOne(Arguments):
    id: Name


class RequestPart(Arguments):
    id: Name
    kind: Name
    body: Body


class RequestClose(Arguments):
    id: Name
    state: Annotated[str, Meta(pattern="^(granted|refused|withdrawn|done)$")]
    reason: Text = ""


def _row(row: Any) -> list[Any]:
    """Moments travel as ISO 8601."""
    return [value.isoformat() if hasattr(value, "isoformat") else value for value in row]


async def request_open(call: Call, arguments: RequestOpen) -> Any:
    """The new request's id; Conflict when this person has too many open."""
    number = new_id()
    values = (number, arguments.kind, arguments.zone, call.person, call.session, arguments.audience, arguments.body)
    made = await call.database.fetchval(OPEN, *values, timedelta(seconds=arguments.seconds), OPEN_OF_ONE_PERSON_MAX)
    if made is None:
        raise Conflict("You have too many open requests.", hint="Withdraw one first.", reason="too-many-requests")
    return made


async def requests(call: Call, arguments: RequestList) -> Any:
    """[id, kind, zone, person, name, session, body, state, made, until, number of parts] of what the caller made or is asked."""
    return [_row(row) for row in await call.database.fetch(LIST, call.person, call.role, arguments.kinds, arguments.open_only)]


async def request(call: Call, arguments: RequestOne) -> Any:
    """{"request": the row as in `requests` without its count, "parts": [[number, person, name, kind, body, made]]}."""
    row = await call.database.fetchrow(ONE, call.person, call.role, arguments.id)
    if row is None:
        raise NotFound("There is no such request for you.", reason="request")
    return {"request": _row(row), "parts": [_row(part) for part in await call.database.fetch(PARTS, arguments.id)]}


async def request_part(call: Call, arguments: RequestPart) -> Any:
    """Number of the part; Denied when the request is closed, over, or not for the caller."""
    values = (call.person, call.role, arguments.id, arguments.kind, arguments.body, PARTS_MAX)
    number = await call.database.fetchval(ADD_PART, *values)
    if number is None:
        raise Denied("This request is not open to you.", hint="It may have ended, or been answered.", reason="request-closed")
    return number


async def request_close(call: Call, arguments: RequestClose) -> None:
    if await call.database.fetchval(CLOSE, call.person, call.role, arguments.id, arguments.state) is None:
        raise Denied("This request is not open to you.", hint="It may have ended, or been answered.", reason="request-closed")


STATEMENTS: Final = (
    Statement("request_open", RequestOpen, request_open, noted_first=False),
    Statement("requests", RequestList, requests),
    Statement("request", RequestOne, request),
    Statement("request_part", RequestPart, request_part, noted_first=False),
    Statement("request_close", RequestClose, request_close, noted_first=False),
)
