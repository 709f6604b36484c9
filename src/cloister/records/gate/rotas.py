"""What officers read of teams: the newest generation and its keepers, and a stretch of its rota."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Denied, NotFound
from cloister.records.gate.statement import Arguments, Call, Statement

ROTA_MAX: Final = 5000

TEAM: Final = "select id, generation, hospital, name, body from trust.team where id = $1 order by generation desc limit 1"
ROTA: Final = """
    select m.hash, m.person, p.name, p.role, m.generation, m.keeps, m.not_before, m.live_until, m.revoked is not null as revoked
      from trust.membership m join trust.person p on p.id = m.person
     where m.team = $1 and m.not_before < $3 and m.live_until > $2 order by m.not_before, p.name, m.hash limit $4"""
GRANTS: Final = """
    select distinct on (g.zone) g.zone, z.name, g."right", g.epoch, g.live_until, g.revoked is not null as revoked
      from trust."grant" g join trust.zone z on z.id = g.zone where g.team = $1 order by g.zone, g.seq desc limit 5000"""
OFFICERS: Final = """
    select p.id, p.name from trust.person p join trust.mandate m on m.person = p.id and m.office = 'access'
     where p.role = 'access-officer' and not p.disabled group by p.id, p.name order by p.name, p.id limit 1000"""
NAMED: Final = "select id, sign_in, name, role from trust.person where sign_in = any ($1) and not disabled order by sign_in limit 1000"

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Moment = Annotated[int, Meta(ge=0, le=253_370_764_800_000)]


class Rota(Arguments):
    """Memberships that overlap the stretch from `start` to `end`, in milliseconds since 1970 UTC."""

    team: Name
    start: Moment
    end: Moment


class Nothing(Arguments):
    pass


class Named(Arguments):
    sign_ins: Annotated[list[Name], Meta(max_length=1000)]


def _plain(row: Any) -> dict[str, Any]:
    return {name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _check(call: Call) -> None:
    if call.role not in ("access-officer", "certificate-officer", "privacy-officer"):
        raise Denied("This belongs to another office.", hint="Ask an access officer.", reason="other-office")


async def team_rota(call: Call, arguments: Rota) -> Any:
    """{"team", "rota", "grants"}: its newest generation, who is in it when, and what it opens."""
    _check(call)
    team = await call.database.fetchrow(TEAM, arguments.team)
    if team is None:
        raise NotFound("There is no such team in this trust.", reason="team")
    start, end = (datetime.fromtimestamp(one / 1000, UTC) for one in (arguments.start, arguments.end))
    return {
        "team": dict(team),
        "rota": [_plain(row) for row in await call.database.fetch(ROTA, arguments.team, start, end, ROTA_MAX)],
        "grants": [_plain(row) for row in await call.database.fetch(GRANTS, arguments.team)],
    }


async def team_officers(call: Call, arguments: Nothing) -> Any:
    """[id, name] of the access officers, who keep every team."""
    _check(call)
    return [tuple(row) for row in await call.database.fetch(OFFICERS)]


async def people_named(call: Call, arguments: Named) -> Any:
    """[id, sign-in, name, role] of those who may sign in by these names."""
    _check(call)
    return [tuple(row) for row in await call.database.fetch(NAMED, arguments.sign_ins)]


STATEMENTS: Final = (
    Statement("team_rota", Rota, team_rota),
    Statement("team_officers", Nothing, team_officers),
    Statement("people_named", Named, people_named),
)
