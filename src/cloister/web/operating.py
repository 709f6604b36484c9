"""The operators' console: one picture of the farm, people's sessions, messages, ends, draining and power. docs/sessions.md.

Everything is asked of the controller and done there, on record with the operator's name, exactly as the command line does it. An
operator's session holds no zone's key: names of people and servers is all that there is to see.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Denied, Invalid, NotFound, Unavailable
from cloister.epr import Link, Visit
from cloister.web.curves import curve
from cloister.web.desk import Desk
from cloister.web.offices.route import OfficeRoute

OPERATORS: Final = frozenset({"it-operator"})
LINKS: Final = (
    Link(path="/console", label="web.operating.map", key="m", roles=OPERATORS),
    Link(path="/console/sessions", label="web.operating.sessions", key="s", roles=OPERATORS),
    Link(path="/console/groups", label="web.operating.groups", roles=OPERATORS),
    Link(path="/console/messages", label="web.operating.messages", roles=OPERATORS),
    Link(path="/console/tunnels", label="web.operating.tunnels", roles=OPERATORS),
    Link(path="/console/curves", label="web.operating.curves", roles=OPERATORS),
    Link(path="/console/ciphertext", label="web.console", roles=OPERATORS),
)
STATES: Final = ("ready", "draining", "maintenance", "unhealthy", "starting", "off", "silent")
SILENT_SECONDS: Final = 20
SURE: Final = "END"  # typed by whoever ends everybody, because one click must not


async def asked(request: Request, act: str, **words: Any) -> Any:
    desk = request.state.desk
    assert isinstance(desk, Desk)
    if desk.operate is None:
        raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
    return (await desk.operate("operate", act=act, words=words))["answer"]


# --- the picture ---------------------------------------------------------------------------------------------


async def show_map(request: Request) -> Response:
    crossed = await _crossed(request)
    return Visit.of(request).page("console-map.html", nav="/console", states=STATES, said=_said(request), crossed=crossed)


async def _crossed(request: Request) -> dict[str, str]:
    """The alarm of the gateway's canary; empty when there is none, or nobody to ask: the picture is shown without it."""
    try:
        said: dict[str, str] = await asked(request, "canary")
    except (Invalid, Unavailable):
        return {}
    return said if said["alarmed"] else {}


async def farm(request: Request) -> Response:
    """GET /console/farm.json: {now, groups, columns, rows}; a row is a list, because there may be thousands."""
    found = await asked(request, "farm")
    rows = [[row.get(name) for name in COLUMNS] for row in found["servers"]]
    return JSONResponse({"now": found["now"], "groups": found["groups"], "columns": COLUMNS, "rows": rows})


COLUMNS: Final = ("id", "state", "sessions", "active", "slots", "load", "groups", "seen", "why")


async def show_server(request: Request) -> Response:
    """GET /console/servers/{server}: one server's facts, its sessions, and what can be done with it. A part of the map's page."""
    name = str(request.path_params["server"])[:200]
    servers = (await asked(request, "farm"))["servers"]
    found = next((row for row in servers if row["id"] == name), None)
    sessions = await asked(request, "sessions", search=name) if found else []
    return Visit.of(request).page("console-server.html", server=found, name=name, sessions=sessions, back="/console")


# --- sessions ------------------------------------------------------------------------------------------------


async def show_sessions(request: Request) -> Response:
    """GET /console/sessions?q=...: whose session is where, by a person's name, a server or an id."""
    query = request.query_params.get("q", "")[:100].strip()
    ended = request.query_params.get("ended") == "1"
    found = await asked(request, "sessions", search=query, ended=ended)
    back = "/console/sessions?" + str(request.url.query)
    return Visit.of(request).page(
        "console-sessions.html", nav="/console/sessions", query=query, ended=ended, sessions=found, back=back, said=_said(request)
    )


async def show_session(request: Request) -> Response:
    """GET /console/sessions/{session}: what is known of it, and why it is on its server."""
    session = str(request.path_params["session"])[:64]
    found = next(iter(await asked(request, "sessions", search=session, ended=True)), None)
    try:
        why = list((await asked(request, "why", session=session))["lines"]) if found else []
    except (Invalid, NotFound):  # it began before reasons were kept
        why = []
    return Visit.of(request).page("console-session.html", nav="/console/sessions", one=found, why=why, back=f"/console/sessions/{session}")


async def show_messages(request: Request) -> Response:
    return Visit.of(request).page(
        "console-messages.html", nav="/console/messages", rows=await asked(request, "messages"), said=_said(request)
    )


async def show_tunnels(request: Request) -> Response:
    """GET /console/tunnels: who has a tunnel of the VPN now."""
    return Visit.of(request).page("console-tunnels.html", nav="/console/tunnels", vpn=await asked(request, "tunnels"), said=_said(request))


# --- curves ---------------------------------------------------------------------------------------------------


async def show_curves(request: Request) -> Response:
    """GET /console/curves?hours=24: sessions and servers on, and each application's licences, as they were and as is foreseen."""
    hours = {"24": 24, "168": 168}.get(request.query_params.get("hours", ""), 24)
    power = await _or_nothing(request, "power_history", hours=hours)
    licences = await _or_nothing(request, "licence_history", hours=hours)
    visit = Visit.of(request)
    return visit.page(
        "console-curves.html",
        nav="/console/curves",
        hours=hours,
        power=[curve(one, visit.word) for one in power_curves(power)],
        licences=[curve(one, visit.word) for one in licence_curves(licences)],
    )


async def _or_nothing(request: Request, act: str, **words: Any) -> list[dict[str, Any]]:
    try:
        return list(await asked(request, act, **words))
    except Invalid:  # this controller knows no such act
        return []


def power_curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One picture a group: people in sessions, and servers that were on and were wanted."""
    by_group: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_group.setdefault(str(row.get("grp", "")), []).append(row)
    lines = (("held", "sessions"), ("running", "on"), ("wanted", "wanted"))
    return [{"name": group, "lines": _lines(points, lines)} for group, points in sorted(by_group.items())]


def licence_curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One picture a pool: taken, the limit, and the forecast."""
    by_pool: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_pool.setdefault(str(row.get("pool", "")), []).append(row)
    lines = (("used", "used"), ("limit", "limit"), ("forecast", "forecast"))
    return [{"name": pool, "lines": _lines(points, lines)} for pool, points in sorted(by_pool.items())]


def _lines(rows: list[dict[str, Any]], lines: tuple[tuple[str, str], ...]) -> dict[str, list[tuple[str, float]]]:
    found = {label: [(str(row["at"]), float(row[name])) for row in rows if row.get(name) is not None] for name, label in lines}
    return {label: points for label, points in found.items() if points}


# --- acts -----------------------------------------------------------------------------------------------------


async def act(request: Request) -> Response:
    """POST /console/act {act, ...}: done by the controller; the page it came from says what came of it."""
    form = await request.form(max_files=0, max_fields=20)
    name, back = str(form.get("act", "")), str(form.get("back", "/console"))
    back = back if back.startswith("/console") else "/console"
    do = ACTS.get(name)
    if do is None:
        raise Invalid("There is no such act.", reason="method")
    try:
        said = await do(request, form)
    except CloisterError as refused:
        if refused.reason in ("locked", "operators-only"):
            raise
        said = f"refused-{refused.reason or refused.category}"
    mark = "&" if "?" in back else "?"
    return RedirectResponse(f"{back}{mark}said={said}", status_code=303)


def _whose(form: FormData) -> dict[str, Any]:
    kind, value = str(form.get("whose", "")), str(form.get("value", "")).strip()[:200]
    if kind == "all":
        return {"all": True}
    if kind not in ("sessions", "person", "ward", "server", "hospital", "gateway") or not value:
        raise Invalid("Say whose sessions.", reason="selector")
    return {kind: [value] if kind == "sessions" else value}


async def _message(request: Request, form: FormData) -> str:
    text = {"en": str(form.get("text", "")), "fr": str(form.get("text_fr", ""))}
    done = await asked(request, "message", **_whose(form), text=text, urgent=form.get("urgent") == "1")
    return f"told-{done['told']}-{done['sessions']}"


async def _end(request: Request, form: FormData) -> str:
    whose = _whose(form)
    if "sessions" not in whose and form.get("sure") != SURE:
        raise Invalid("Type the word first.", reason="not-sure")
    done = await asked(request, "end", **whose, why=str(form.get("why", ""))[:60].strip() or "operator")
    return f"ended-{done['ended']}-{done['sessions']}"


async def _drain(request: Request, form: FormData) -> str:
    minutes = str(form.get("minutes", "")).strip()
    seconds = int(minutes) * 60 if minutes.isdigit() and len(minutes) < 6 else None
    await asked(request, "drain", server=str(form.get("value", "")), deadline=seconds, message=str(form.get("text", ""))[:500])
    return "draining"


async def _undrain(request: Request, form: FormData) -> str:
    await asked(request, "undrain", server=str(form.get("value", "")))
    return "undrained"


async def _power(request: Request, form: FormData) -> str:
    await asked(request, "power_wish", server=str(form.get("value", "")), wish=str(form.get("wish", "")))
    return "wished"


async def _end_tunnel(request: Request, form: FormData) -> str:
    await asked(request, "end_tunnel", server=str(form.get("server", "")), id=str(form.get("id", "")))
    return "tunnel"


ACTS: Final[Mapping[str, Callable[[Request, FormData], Awaitable[str]]]] = {
    "message": _message,
    "end": _end,
    "drain": _drain,
    "undrain": _undrain,
    "power": _power,
    "end_tunnel": _end_tunnel,
}


def _said(request: Request) -> tuple[str, dict[str, str]]:
    """What the last act said, from the address: a key of the words and its numbers, nothing that is shown as it came."""
    name, _, rest = request.query_params.get("said", "")[:80].partition("-")
    numbers = [part for part in rest.split("-") if part.isdigit()]
    if name in ("told", "ended") and len(numbers) == 2:
        return f"web.operating.said.{name}", {"done": numbers[0], "all": numbers[1]}
    if name in ("draining", "undrained", "wished", "tunnel"):
        return f"web.operating.said.{name}", {}
    known = rest if rest in ("not-sure", "no-machine", "own-session") else "refused"
    return (f"web.operating.said.{known}", {}) if name == "refused" else ("", {})


ROUTES: Final = (
    OfficeRoute("/console", Page.CONSOLE, show_map),
    OfficeRoute("/console/farm.json", Page.CONSOLE, farm),
    OfficeRoute("/console/servers/{server}", Page.CONSOLE, show_server),
    OfficeRoute("/console/sessions", Page.CONSOLE, show_sessions),
    OfficeRoute("/console/sessions/{session}", Page.CONSOLE, show_session),
    OfficeRoute("/console/messages", Page.CONSOLE, show_messages),
    OfficeRoute("/console/tunnels", Page.CONSOLE, show_tunnels),
    OfficeRoute("/console/curves", Page.CONSOLE, show_curves),
    OfficeRoute("/console/act", Page.CONSOLE, act, ("POST",)),
)
