"""The access officer's pages of teams: a week of a rota, turns signed beforehand, zones opened to a team, rotas from elsewhere;
and of a zone's keys: the next epoch, and what is still under an older one. Acts: offices/teams.py, proposals.py, rotation.py.

Each page answers with the same facts in JSON to whoever asks for that: the command line.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import HTTP_STATUS, CloisterError, Conflict, Denied, Invalid, NotFound
from cloister.epr import Link, Visit
from cloister.offices import proposals, rewrapping, rotation, teams
from cloister.web.desk import Desk
from cloister.web.offices.acting import Typed, desk_of, hospitals_of, names_of, path_of, raw, until
from cloister.web.offices.route import OfficeRoute

TEAMS: Final = "/offices/teams"
ROTAS: Final = "/offices/rotas"
KEYS: Final = "/offices/keys"
DAYS: Final = 7
LINES_FIELDS_MAX: Final = proposals.LINES_MAX + 10
RIGHTS: Final = ("read", "write")

Facts = dict[str, Any]


def _answer(request: Request, template: str, facts: Facts, **more: Any) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse(_plain(facts), headers={"cache-control": "no-store"})
    done = request.query_params.get("done", "") if more.get("refused") is None else ""
    return Visit.of(request).page(template, nav=TEAMS, done=done, **facts, **more)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


async def show_teams(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    rows = await desk.gate.call("office_teams", after=request.query_params.get("after", "")[:200], limit=100)
    found = [{name: one[name] for name in ("id", "name", "hospital", "generation", "members")} for one in rows]
    waiting = [
        {"id": one.id, "name": one.name, "source": one.source, "lines": len(one.lines)} for one in await proposals.waiting(desk.gate)
    ]
    facts = {"teams": found, "waiting": waiting, "hospitals": hospitals_of(desk)}
    return _answer(request, "offices-teams.html", facts, typed=Typed(typed or {}), refused=refused)


async def _create(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    if values.get("hospital", "") not in hospitals_of(desk):
        raise Invalid("Choose a hospital from the list.", reason="form")
    name, now = values.get("name", ""), desk.clock()
    return f"{TEAMS}/{await teams.create(desk.keyring, desk.gate, name=name, hospital=values['hospital'], now=now)}?done=created"


async def show_team(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    """One week, from the Monday of `day`."""
    desk = desk_of(request)
    monday = _monday(request.query_params.get("day", ""), desk.clock())
    days = [monday + timedelta(days=number) for number in range(DAYS)]
    end = monday + timedelta(days=DAYS)
    view = await teams.shown(desk.keyring, desk.gate, team=path_of(request, "team"), start=monday, end=end)
    kept = True
    try:
        desk.keyring.team(view.team)
    except Denied:
        kept = False
    facts = {"team": asdict(view), "kept": kept, "days": days, "people": _week(view, days)}
    weeks = {"before": (monday - timedelta(days=DAYS)).date(), "after": end.date()}
    shown = {"rights": RIGHTS, "names": names_of(desk), **weeks}
    return _answer(request, "offices-team.html", facts, typed=Typed(typed or {}), refused=refused, **shown)


def _week(view: teams.TeamView, days: list[datetime]) -> list[Facts]:
    """For each person the turns of each day, cut at midnight: what the picture shows."""
    people: dict[str, Facts] = {}
    for turn in view.turns:
        if turn.revoked:
            continue
        row = people.setdefault(turn.person, {"person": turn.person, "name": turn.name, "days": [[] for _ in days]})
        for number, day in enumerate(days):
            start, end = max(turn.not_before, day), min(turn.live_until, day + timedelta(days=1))
            if start < end:
                row["days"][number].append({"from": start, "until": end, "hash": turn.hash})
    return list(people.values())


async def _add(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    team, sign_in = path_of(request, "team"), values.get("person", "").strip().lower()
    found = await desk.gate.call("people_named", sign_ins=[sign_in[:200] or "-"])
    if not found:
        raise NotFound(f"Nobody signs in as '{sign_in[:60]}'.", hint="Write the sign-in name.", reason="person")
    stretch = teams.Stretch(found[0][0], proposals.moment(values.get("from", "")), proposals.moment(values.get("until", "")))
    reason = values.get("reason", "").strip() or proposals.REASON
    await teams.add(desk.keyring, desk.gate, team=team, stretches=[stretch], reason=reason, now=desk.clock())
    return f"{TEAMS}/{team}?day={stretch.not_before.date()}&done=added"


async def _end(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    team, now = path_of(request, "team"), desk.clock()
    person, reason = values.get("person", ""), values.get("reason", "")
    await teams.end_turn(desk.keyring, desk.gate, turn=raw(values, "turn"), person=person, reason=reason, now=now)
    return f"{TEAMS}/{team}?done=ended"


async def _open(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    team, right, now = path_of(request, "team"), values.get("right", ""), desk.clock()
    if right not in RIGHTS:
        raise Invalid("Choose a right.", reason="form")
    terms: dict[str, Any] = {
        "zone": values.get("zone", ""),
        "right": right,
        "live_until": until(values, now),
        "reason": values.get("reason", ""),
    }
    await teams.open_zone(desk.keyring, desk.gate, team=team, now=now, **terms)
    return f"{TEAMS}/{team}?done=opened"


async def _leave(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    """Somebody must lose the team's key: a new generation, and a new epoch of every zone that the team opens."""
    team, person, now = path_of(request, "team"), values.get("person", ""), desk.clock()
    reason = values.get("reason", "").strip()
    if not person or not reason:
        raise Invalid("Say who leaves, and why.", reason="form")
    for zone in await teams.renew(desk.keyring, desk.gate, team=team, without=frozenset({person}), reason=reason, now=now):
        await rotation.rotate(desk.keyring, desk.gate, zone=zone, now=now)
        rewrapping.later(desk.keyring, desk.gate, zone)
    return f"{TEAMS}/{team}?done=left"


# --- rotas from elsewhere -------------------------------------------------------------------------------


Shown = Callable[..., Awaitable[Response]]
Act = Callable[[Request, Desk, Mapping[str, str]], Awaitable[str]]


async def _values(request: Request) -> dict[str, str]:
    """A form's fields, or a JSON object's from the command line; several of one name are joined by commas."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json":
        raw = await request.body()
        try:
            told = json.loads(raw) if len(raw) <= 2 * proposals.CHARACTERS_MAX else None
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Invalid("Send a JSON object.", reason="form")
        return {str(name): str(value) for name, value in told.items()}
    form = await request.form(max_files=0, max_fields=LINES_FIELDS_MAX, max_part_size=2 * proposals.CHARACTERS_MAX)
    return {name: ",".join(str(one) for one in form.getlist(name)) for name in form}


def _acting(show: Shown, act: Act, *, up: int = 0) -> Callable[[Request], Awaitable[Response]]:
    """POST: does the act and goes where it says; a refusal comes back on the page, or in JSON to whoever sent JSON.

    `up`: how many last parts of the address are the act's and not the page's.
    """

    async def handler(request: Request) -> Response:
        values: Mapping[str, str] = {}
        spoken = "application/json" in request.headers.get("accept", "")
        try:
            values = await _values(request)
            went = await act(request, desk_of(request), values)
        except (Invalid, Denied, Conflict, NotFound) as refused:
            if spoken:
                raise
            if up:  # the page's own address, for what it links back to
                request.scope["path"] = request.scope["path"].rsplit("/", up)[0]
            page = await show(request, typed=values, refused=refused)
            page.status_code = HTTP_STATUS[refused.category]
            return page
        return JSONResponse({"next": went}) if spoken else RedirectResponse(went, status_code=303)

    return handler


async def _import(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    text, now = values.get("table", ""), desk.clock()
    if values.get("kind") == "directory":
        start, end = proposals.moment(values.get("from", "")), proposals.moment(values.get("until", ""))
        lines = proposals.read_directory(text, start=start, end=end)
    else:
        lines = proposals.read_table(text)
    number = await proposals.propose(desk.gate, lines, values.get("source", "").strip() or now.date().isoformat())
    return f"{ROTAS}/{number}"


async def show_rota(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    proposal = await proposals.one(desk.gate, path_of(request, "rota"))
    lines = [
        {"number": one.line.number, "person": one.line.person, "team": one.line.team, "from": one.line.start, "until": one.line.end,
         "problem": one.problem}
        for one in await proposals.checked(desk.gate, proposal, desk.clock())
    ]  # fmt: skip
    facts = {"id": proposal.id, "source": proposal.source, "name": proposal.name, "lines": lines}
    return _answer(request, "offices-rota.html", facts, refused=refused)


async def _sign(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    number = path_of(request, "rota")
    if values.get("act") == "refuse":
        await proposals.refuse(desk.gate, number)
        return f"{TEAMS}?done=refused"
    chosen = [int(one) for one in values.get("line", "").split(",") if one.isdecimal()]
    await proposals.sign(desk.keyring, desk.gate, number, chosen, desk.clock())
    return f"{TEAMS}?done=signed"


# --- a zone's keys ---------------------------------------------------------------------------------------


async def show_keys(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk, zone = desk_of(request), path_of(request, "zone")
    left = await rewrapping.left(desk.gate, zone)
    facts = {
        "zone": zone, "name": names_of(desk).get(zone, zone), "epoch": desk.keyring.epoch(zone), "stale": left.stale, "total": left.total,
        "running": rewrapping.running(zone),
    }  # fmt: skip
    return _answer(request, "offices-keys.html", facts, refused=refused)


async def _rotate(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone = path_of(request, "zone")
    await rotation.rotate(desk.keyring, desk.gate, zone=zone, now=desk.clock())
    rewrapping.later(desk.keyring, desk.gate, zone)
    return f"{KEYS}/{zone}?done=rotated"


async def _rewrap(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone = path_of(request, "zone")
    await rewrapping.rewrap(desk.keyring, desk.gate, zone)
    return f"{KEYS}/{zone}?done=rewrapped"


def _monday(text: str, now: datetime) -> datetime:
    day = now
    if text:
        day = proposals.moment(text[:10])
    here = day.astimezone()
    monday = (here - timedelta(days=here.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    return monday.astimezone(UTC)


def _route(path: str, handler: Any, method: str = "GET") -> OfficeRoute:
    return OfficeRoute(path, Page.GRANTING, handler, (method,))


ROUTES: Final = (
    _route(TEAMS, show_teams),
    _route(TEAMS, _acting(show_teams, _create), "POST"),
    _route(f"{TEAMS}/{{team}}", show_team),
    _route(f"{TEAMS}/{{team}}/turns", _acting(show_team, _add, up=1), "POST"),
    _route(f"{TEAMS}/{{team}}/end", _acting(show_team, _end, up=1), "POST"),
    _route(f"{TEAMS}/{{team}}/zones", _acting(show_team, _open, up=1), "POST"),
    _route(f"{TEAMS}/{{team}}/leave", _acting(show_team, _leave, up=1), "POST"),
    _route(ROTAS, _acting(show_teams, _import), "POST"),
    _route(f"{ROTAS}/{{rota}}", show_rota),
    _route(f"{ROTAS}/{{rota}}", _acting(show_rota, _sign), "POST"),
    _route(f"{KEYS}/{{zone}}", show_keys),
    _route(f"{KEYS}/{{zone}}/rotate", _acting(show_keys, _rotate, up=1), "POST"),
    _route(f"{KEYS}/{{zone}}/rewrap", _acting(show_keys, _rewrap, up=1), "POST"),
)
LINKS: Final = (Link(path=TEAMS, label="web.offices.teams.link", roles=frozenset({"access-officer"})),)
