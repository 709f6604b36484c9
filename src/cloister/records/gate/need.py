"""Break-glass at the gate: who may ask and agree by a zone's policy, what is open in need, who has looked at it since.

The gate counts the colleagues who agreed and hands out sealed parts only together with the row that says so. It is no
lock: an administrator who writes these rows still has none of the keys, and the session proves everything by signatures.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, NotFound
from cloister.records.gate.statement import Arguments, Call, Note, Statement

REVIEW_BYTES_MAX: Final = 4096
OFFICER: Final = "access-officer"
SEES_OPENINGS: Final = frozenset({OFFICER, "privacy-officer"})

OFFERED: Final = """
    select z.id, z.name, z.hospital, z.ward, (z.policy #>> '{glass,approvers}')::int, (z.policy #>> '{glass,seconds}')::int
      from trust.zone z where z.policy #> '{glass,askers}' ? $1 and z.id <> all ($2) order by z.name, z.id limit 500"""
# Colleagues who may agree, and the officers who are told: with what a reason is sealed to.
TOLD: Final = """
    select p.id, p.name, p.role, c.hash, c.der, i.kem_public, z.policy #> '{glass,approvers_pool}' ? p.id
      from trust.zone z, trust.person p join trust.identity i on i.person = p.id join trust.certificate c on c.hash = i.certificate
     where z.id = $1 and z.policy #> '{glass,askers}' ? $2 and p.id <> $2 and not p.disabled and c.revoked is null
       and (z.policy #> '{glass,approvers_pool}' ? p.id or p.role = 'access-officer')
     order by p.role = 'access-officer' desc, p.id limit 60"""
ZONE: Final = "select body from trust.zone where id = $1"
EPOCHS: Final = "select epoch, body from trust.epoch where zone = $1 order by epoch limit 10000"
# Whom a part is for stands inside its signed body; which bytes it names is enough to hand over few of them.
PARTS_OF: Final = """
    select s.body from trust.epoch_seal s
     where s.zone = $1 and s.kind = 'glass' and position(convert_to($2, 'UTF8') in s.body) > 0
       and s.epoch = (select max(e.epoch) from trust.epoch e where e.zone = $1)
     order by s.part desc limit 20"""
ASKED: Final = """
    select r.zone from trust.request r join trust.zone z on z.id = r.zone
     where r.id = $1 and r.kind = 'glass' and r.state = 'open' and now() < r.until and r.person <> $2
       and z.policy #> '{glass,approvers_pool}' ? $2"""
OPEN: Final = """
    insert into trust.opening (request, zone, person, session, until)
    select r.id, r.zone, r.person, r.session, now() + make_interval(secs => (z.policy #>> '{glass,seconds}')::int)
      from trust.request r join trust.zone z on z.id = r.zone
     where r.id = $1 and r.kind = 'glass' and r.person = $2 and r.session = $3 and r.state = 'open' and now() < r.until
       and z.policy #> '{glass,askers}' ? r.person
       and (z.policy #>> '{glass,approvers}')::int <= (
           select count(distinct t.person) from trust.request_part t
            where t.request = r.id and t.kind = 'approval' and t.person <> r.person and z.policy #> '{glass,approvers_pool}' ? t.person)
    returning zone, until"""
GRANTED: Final = "update trust.request set state = 'granted', closed = now(), closed_by = $2 where id = $1 and state = 'open' returning id"
END: Final = """
    update trust.opening set ended = now()
     where request = $1 and ended is null and (session = $2 or $3 = 'access-officer') returning zone"""
END_OF_SESSION: Final = "update trust.opening set ended = now() where session = $1 and ended is null"
MINE: Final = """
    select request, zone, until from trust.opening
     where session = $1 and person = $2 and ended is null and now() < until order by made limit 50"""
OPENINGS: Final = """
    select o.request, o.zone, z.name, o.person, p.name, o.made, o.until, o.ended, o.reviewed, v.name, r.body, o.review,
           o.ended is null and now() < o.until,
           array(select distinct a.name from trust.request_part t join trust.person a on a.id = t.person
                  where t.request = o.request and t.kind = 'approval' order by 1)
      from trust.opening o join trust.request r on r.id = o.request join trust.zone z on z.id = o.zone
      join trust.person p on p.id = o.person left join trust.person v on v.id = o.reviewed_by
     where ($1 or o.reviewed is null) order by o.reviewed is not null, o.made desc limit 200"""
REVIEW: Final = """
    update trust.opening set reviewed = now(), reviewed_by = $2, review = $3
     where request = $1 and reviewed is null and person <> $2 and (ended is not null or now() >= until) returning zone"""
BADGE: Final = """
    select (select count(*) from trust.request r
             where r.kind = 'glass' and r.state = 'open' and now() < r.until and r.person <> $1 and r.audience && array[$1]
               and not exists (select from trust.request_part t where t.request = r.id and t.person = $1)),
           case when $2 = 'access-officer' then (select count(*) from trust.opening where reviewed is null) else 0 end"""

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Nothing(Arguments):
    pass


class GlassZone(Arguments):
    zone: Name


class GlassRequest(Arguments):
    request: Name


class GlassOpenings(Arguments):
    reviewed: bool = False


class GlassReview(Arguments):
    request: Name
    review: Annotated[bytes, Meta(min_length=1, max_length=REVIEW_BYTES_MAX)]


def _row(row: Any) -> list[Any]:
    return [value.isoformat() if isinstance(value, datetime) else value for value in row]


def _noted(action: str) -> Any:
    return lambda arguments: [Note(action, "zone", getattr(arguments, "zone", ""), reason=f"need {arguments.request}")]


async def glass_offered(call: Call, arguments: Nothing) -> Any:
    """[zone, name, hospital, ward, approvers, seconds] of the zones that the caller may ask for and has not."""
    return [_row(row) for row in await call.database.fetch(OFFERED, call.person, call.zones)]


async def glass_told(call: Call, arguments: GlassZone) -> Any:
    """{"zone": signed record, "people": [id, name, role, certificate hash, certificate, key, in the pool]} for one's request."""
    people = await call.database.fetch(TOLD, arguments.zone, call.person)
    zone = await call.database.fetchval(ZONE, arguments.zone)
    if zone is None or not people:
        raise _not_offered()
    return {"zone": zone, "people": [_row(row) for row in people]}


async def glass_part(call: Call, arguments: GlassRequest) -> Any:
    """For a colleague who is asked: {"zone", "epochs", "parts"} with the caller's own sealed parts of the present epoch."""
    zone = await call.database.fetchval(ASKED, arguments.request, call.person)
    if zone is None:
        raise Denied("This request is not for you, or it has ended.", hint="Load the page again.", reason="request-closed")
    return await _material(call, zone)


async def glass_open(call: Call, arguments: GlassRequest) -> Any:
    """Records the opening, and only then hands out the asker's parts; Denied while too few colleagues have agreed."""
    try:
        steps = [(OPEN, (arguments.request, call.person, call.session)), (GRANTED, (arguments.request, call.person))]
        ((opening,), _) = await call.database.together(steps)
    except (asyncpg.NoDataFoundError, asyncpg.UniqueViolationError):
        hint = "Wait for your colleagues; after the request's time ask again."
        raise Denied("Not enough colleagues have agreed yet, or the request has ended.", hint=hint, reason="approvals-missing") from None
    return {**await _material(call, opening["zone"]), "until": opening["until"].isoformat()}


async def glass_end(call: Call, arguments: GlassRequest) -> None:
    if await call.database.fetchval(END, arguments.request, call.session, call.role) is None:
        raise Conflict("This opening has ended already.", reason="opening-ended")


async def glass_mine(call: Call, arguments: Nothing) -> Any:
    """[request, zone, until] of what is open in need in this session."""
    return [_row(row) for row in await call.database.fetch(MINE, call.session, call.person)]


async def glass_openings(call: Call, arguments: GlassOpenings) -> Any:
    """For officers: [request, zone, zone name, person, name, made, until, ended, reviewed, reviewer, letter, review, live, approvers]."""
    if call.role not in SEES_OPENINGS:
        raise Denied("This belongs to another office.", hint="Ask the officer whose part it is.", reason="other-office")
    return [_row(row) for row in await call.database.fetch(OPENINGS, arguments.reviewed)]


async def glass_review(call: Call, arguments: GlassReview) -> None:
    if call.role != OFFICER:
        raise Denied("This belongs to another office.", hint="Ask the officer whose part it is.", reason="other-office")
    if await call.database.fetchval(REVIEW, arguments.request, call.person, arguments.review) is None:
        raise Conflict("This opening cannot be reviewed now.", hint="It is still open, or was reviewed already.", reason="not-reviewable")


async def glass_badge(call: Call, arguments: Nothing) -> Any:
    """[requests that wait for the caller, openings that wait for review]."""
    return _row(await call.database.fetchrow(BADGE, call.person, call.role))


async def _material(call: Call, zone: str) -> dict[str, Any]:
    parts = [row[0] for row in await call.database.fetch(PARTS_OF, zone, call.person)]
    epochs = [row[1] for row in await call.database.fetch(EPOCHS, zone)]
    body = await call.database.fetchval(ZONE, zone)
    if body is None:
        raise NotFound("There is no such zone.", reason="zone")
    return {"zone": body, "epochs": epochs, "parts": parts}


def _not_offered() -> Denied:
    return Denied("Break-glass is not offered to you in this zone.", hint="Ask the access officer for a grant.", reason="glass-not-offered")


STATEMENTS: Final = (
    Statement("glass_offered", Nothing, glass_offered),
    Statement("glass_told", GlassZone, glass_told),
    Statement("glass_part", GlassRequest, glass_part, notes=_noted("glass-approve")),
    Statement("glass_open", GlassRequest, glass_open, notes=_noted("glass-open")),
    Statement("glass_end", GlassRequest, glass_end, notes=_noted("glass-end")),
    Statement("glass_mine", Nothing, glass_mine),
    Statement("glass_openings", GlassOpenings, glass_openings),
    Statement("glass_review", GlassReview, glass_review, notes=_noted("glass-review")),
    Statement("glass_badge", Nothing, glass_badge),
)
