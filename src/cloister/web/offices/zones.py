"""The access officer's pages: zones and who may open them and why, what was asked, grants given, changed, signed twice and ended.

Every row is verified in this session before it is shown; what would be refused by the person's session is said to be. Acts are in
offices/granting.py, asking.py and rotation.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Denied, Invalid, NotFound
from cloister.epr import Link, Visit
from cloister.offices import asking, granting, rewrapping, rotation
from cloister.web.desk import Desk
from cloister.web.offices.acting import Typed, acting, days, desk_of, hospitals_of, names_of, path_of, raw, until
from cloister.web.offices.route import OfficeRoute
from cloister.zones import Forged, revocations

ZONES: Final = "/offices/zones"
WHO: Final = "/offices/who"
ASKED: Final = "/offices/asked"
RIGHTS: Final = ("read", "write", "hold")
PAGE_ROWS: Final = 50
SOON: Final = timedelta(days=30)


async def show_zones(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    rows = await desk.gate.call("office_zones", after=request.query_params.get("after", "")[:200], limit=PAGE_ROWS)
    held = {one.zone for one in desk.keyring.zones}
    more = rows[-1]["id"] if len(rows) == PAGE_ROWS else ""
    return Visit.of(request).page(
        "offices-zones.html",
        nav=ZONES,
        rows=rows,
        held=held,
        more=more,
        hospitals=hospitals_of(desk),
        typed=Typed(typed or {}),
        refused=refused,
        done=request.query_params.get("done", "") if refused is None else "",
    )


async def _create(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    hospital = values.get("hospital", "")
    if hospital not in hospitals_of(desk):
        raise Invalid("Choose a hospital from the list.", reason="form")
    policy: dict[str, Any] = {"compartment": "psychiatry" if values.get("psychiatry") else "normal", "code_tokens": False}
    if values.get("two"):
        policy[revocations.TWO_OFFICERS] = True
    if values.get("closed"):
        policy[rotation.PAST] = rotation.CLOSED
    now = desk.clock()
    await granting.create_zone(
        desk.keyring,
        desk.gate,
        zone=values.get("zone", "").strip(),
        name=values.get("name", ""),
        hospital=hospital,
        ward=None,
        policy=policy,
        now=now,
        live_until=now + granting.LIFE_MAX - timedelta(days=1),
    )
    return f"{ZONES}?done=created"


async def show_zone(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    zone = path_of(request, "zone")
    found = await desk.gate.call("office_zones", zone=zone)
    if not found:
        raise NotFound("There is no such zone.", reason="zone")
    now = desk.clock()
    rows = await granting.all_grants(desk.keyring, desk.gate, zone, now)
    wanted = (typed or {}).get("q") or request.query_params.get("q", "")
    people = await desk.gate.call("office_people", text=wanted[:100], limit=20) if wanted else []
    try:
        policy, told = granting.verified_zone(desk.keyring, bytes(found[0]["body"])).policy, ""
    except (Forged, Denied) as wrong:
        policy, told = {}, wrong.reason
    return Visit.of(request).page(
        "offices-zone.html",
        nav=ZONES,
        zone=found[0],
        rows=rows,
        policy=policy,
        told=told,
        two=policy.get(revocations.TWO_OFFICERS) is True,
        held=any(one.zone == zone for one in desk.keyring.zones),
        people=people,
        q=wanted,
        rights=RIGHTS,
        typed=Typed(typed or {}),
        refused=refused,
        me_id=desk.actor.person,
        done=request.query_params.get("done", "") if refused is None else "",
    )


async def _grant(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone, right = path_of(request, "zone"), values.get("right", "")
    if right not in RIGHTS or not values.get("person"):
        raise Invalid("Choose a person and a right.", reason="form")
    now = desk.clock()
    await granting.grant(
        desk.keyring,
        desk.gate,
        zone=zone,
        person=values["person"][:200],
        right=right,
        live_until=until(values, now),
        reason=values.get("reason", ""),
        now=now,
        past=values.get("past") != "no",
    )
    return f"{ZONES}/{zone}?done=granted"


async def _end(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    """The grant ends; with `keys` the zone gets a new epoch in the same transaction, which the person's keys do not open."""
    zone, target, person, now = path_of(request, "zone"), raw(values, "target"), values.get("person") or None, desk.clock()
    ended = granting.revoked(desk.keyring, "grant", target, person, values.get("reason", ""), now)
    whom = person or f"team:{values.get('team', '')}"
    if values.get("keys"):
        await rotation.rotate(desk.keyring, desk.gate, zone=zone, now=now, without=(whom,), also=(ended,))
        rewrapping.later(desk.keyring, desk.gate, zone)
    else:
        await desk.gate.call("trust_put", objects=[ended])
    return f"{ZONES}/{zone}?done=ended"


async def _countersign(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone, target, now = path_of(request, "zone"), raw(values, "target"), desk.clock()
    for row in await granting.all_grants(desk.keyring, desk.gate, zone, now):
        if bytes(row["hash"]) == target:
            await granting.countersign(desk.keyring, desk.gate, body=bytes(row["body"]), now=now)
            return f"{ZONES}/{zone}?done=countersigned"
    raise NotFound("This grant has been replaced.", hint="Load the page again.", reason="grant-replaced")


async def _policy(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone = path_of(request, "zone")
    changes = {revocations.TWO_OFFICERS: values.get("two") == "1"}
    await granting.set_policy(desk.keyring, desk.gate, zone=zone, changes=changes, now=desk.clock())
    return f"{ZONES}/{zone}?done=policy"


async def show_who(request: Request) -> Response:
    desk, text = desk_of(request), request.query_params.get("q", "")[:100]
    after = [request.query_params.get("name", "")[:200], request.query_params.get("id", "")[:200]]
    rows = await desk.gate.call("office_people", text=text, after=after, limit=PAGE_ROWS)
    more = rows[-1] if len(rows) == PAGE_ROWS else None
    return Visit.of(request).page("offices-who.html", nav=WHO, rows=rows, q=text, more=more)


async def show_whom(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    """What one person can open and why: by own grants, and by the teams of the present turns."""
    desk = desk_of(request)
    now = desk.clock()
    row = await desk.gate.call("office_person", person=path_of(request, "person"))
    held = [granting.shown(desk.keyring, one, now) for one in granting.newest_living(row["grants"], now)]
    through: list[dict[str, Any]] = []
    for team in sorted({str(one["team"]) for one in row["memberships"] if one["revoked"] is None and one["live_until"] > now.isoformat()}):
        for one in granting.newest_living((await desk.gate.call("office_team", team=team))["grants"], now):
            through.append(granting.shown(desk.keyring, one, now) | {"team": team})
    stale = any(one["certificate"] and row["certificate"] and one["certificate"] != bytes(row["certificate"]) for one in held)
    return Visit.of(request).page(
        "offices-whom.html",
        nav=WHO,
        row=row,
        grants=held,
        through=through,
        stale=stale,
        mine=row["id"] == desk.actor.person,
        refused=refused,
        done=request.query_params.get("done", "") if refused is None else "",
    )


async def _renew(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    person = path_of(request, "person")
    await granting.renew_grants(desk.keyring, desk.gate, person=person, now=desk.clock())
    return f"{WHO}/{person}?done=renewed"


async def show_asked(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    rows = await asking.asked(desk.keyring, desk.gate, open_only=request.query_params.get("all") != "1", now=desk.clock())
    return Visit.of(request).page(
        "offices-asked.html", nav=ASKED, rows=rows, names=names_of(desk), typed=Typed(typed or {}), refused=refused
    )


async def _answer(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    number, answer = path_of(request, "request"), values.get("answer", "")
    if request.path_params["act"] == "refuse":
        await asking.refuse_asked(desk.gate, request=number, answer=answer)
    else:
        right = values.get("right", "")
        if right not in asking.RIGHTS:
            raise Invalid("Choose a right.", reason="form")
        await asking.grant_asked(desk.keyring, desk.gate, request=number, days=days(values), right=right, answer=answer, now=desk.clock())
    return ASKED


def _route(path: str, handler: Any, method: str = "GET") -> OfficeRoute:
    return OfficeRoute(path, Page.GRANTING, handler, (method,))


ROUTES: Final = (
    _route(ZONES, show_zones),
    _route(ZONES, acting(show_zones, _create), "POST"),
    _route(f"{ZONES}/{{zone}}", show_zone),
    _route(f"{ZONES}/{{zone}}/grant", acting(show_zone, _grant, up=1), "POST"),
    _route(f"{ZONES}/{{zone}}/end", acting(show_zone, _end, up=1), "POST"),
    _route(f"{ZONES}/{{zone}}/countersign", acting(show_zone, _countersign, up=1), "POST"),
    _route(f"{ZONES}/{{zone}}/policy", acting(show_zone, _policy, up=1), "POST"),
    _route(WHO, show_who),
    _route(f"{WHO}/{{person}}", show_whom),
    _route(f"{WHO}/{{person}}/renew", acting(show_whom, _renew, up=1), "POST"),
    _route(ASKED, show_asked),
    _route(f"{ASKED}/{{request}}/{{act}}", acting(show_asked, _answer, up=2), "POST"),
)
OFFICE: Final = frozenset({"access-officer"})
LINKS: Final = (
    Link(path=ZONES, label="web.offices.zones.link", roles=OFFICE),
    Link(path=WHO, label="web.offices.who.link", roles=OFFICE),
    Link(path=ASKED, label="web.offices.asked.link", roles=OFFICE),
)
