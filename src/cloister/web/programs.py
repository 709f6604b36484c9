"""Published programs: what a person may start, its screen in the browser, and files in and out where the application allows it.

The screen is RFB over a WebSocket of this session (noVNC draws it). Each start and each file that passes is written in the audit log.
The trust's own rules are asked about each of them, by the place where the request comes from: docs/policies.md.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from cloister.access import PAGE, PROGRAM, Action, Facts, Page, rules
from cloister.base.errors import CloisterError, Denied, Invalid, NotFound
from cloister.epr import Visit
from cloister.server import programs as published
from cloister.web.account import desk_of, text_of
from cloister.web.bodies import json_body
from cloister.web.desk import Desk
from cloister.web.files import seal_for
from cloister.web.offices.route import OfficeRoute

CHUNK: Final = 262_144
SIDE_MAX: Final = 8192
SECRET_CHARACTERS_MAX: Final = 256
# Offered in this order; their names are words of the pages.
LAYOUTS: Final = ("us", "gb", "fr", "de", "be", "ch(fr)", "ch(de)", "es", "it", "pt", "ca(fr)")


# --- pages ------------------------------------------------------------------------------------------------------


async def show_programs(request: Request) -> Response:
    """GET /programs: what may be started, and what runs."""
    return Visit.of(request).page("programs.html", nav="/programs", **await _offered(request))


async def show_part(request: Request) -> Response:
    """GET /programs/part: the same as a part of the start page; nothing where nothing is published to this person."""
    return Visit.of(request).page("programs-part.html", **await _offered(request))


async def _offered(request: Request) -> dict[str, Any]:
    desk = desk_of(request)
    offered = await desk.beside.offered()
    refused = {one["id"]: said for one in offered if (said := _refusal(desk, one["id"], rules.Act.RUN)) is not None}
    return {
        "programs": offered,
        "states": {name: str(state) for name, state in desk.beside.states().items()},
        "refused": {name: f"{said.text} {said.hint or ''}".strip() for name, said in refused.items()},
    }


async def show_program(request: Request) -> Response:
    """GET /programs/{application}: the page of its screen, which starts it."""
    visit, desk = Visit.of(request), desk_of(request)
    for one in await desk.beside.offered():
        if one["id"] == request.path_params["application"]:
            return visit.page("program.html", program=one, layouts=LAYOUTS, idle_seconds=desk.idle_lock_seconds)
    raise NotFound("There is no such program for you.", hint="Start what the start page shows.", reason="program-unknown")


# --- its life ------------------------------------------------------------------------------------------------------


async def start(request: Request) -> Response:
    """POST {width, height, layout, user?, domain?, password?}: starts it, or finds it running; returns when that is known."""
    desk, body, application = desk_of(request), await json_body(request), _application(request)
    wishes = published.Wishes(
        width=_side(body, "width"), height=_side(body, "height"), layout=text_of(body, "layout", 20),
        language=Visit.of(request).words.language, credentials=_credentials(body),
    )  # fmt: skip
    await _permitted(desk, application, rules.Act.RUN, "start-program")
    try:
        running = await desk.beside.start(application, wishes, lambda public, zones: seal_for(desk, public, zones))
    except CloisterError as refused:
        await _note(desk, "start-program", application, outcome="denied", reason=refused.reason or refused.category)
        raise
    await _note(desk, "start-program", application)
    return JSONResponse(_facts(desk, running))


async def state(request: Request) -> Response:
    """GET: {state, why, status, said, ...} of the run that there is, or was last."""
    desk = desk_of(request)
    return JSONResponse(_facts(desk, desk.beside.of(_application(request))))


async def end(request: Request) -> Response:
    desk, application = desk_of(request), _application(request)
    desk.beside.end(application)
    await _note(desk, "end-program", application)
    return JSONResponse({})


async def lay_out(request: Request) -> Response:
    """POST {layout}: another keyboard."""
    body, desk, application = await json_body(request), desk_of(request), _application(request)
    _judged(desk, application, rules.Act.RUN)
    await desk.beside.of(application).lay_out(text_of(body, "layout", 20))
    return JSONResponse({})


async def pass_screen(request: Request) -> Response:
    """POST: {pass}, to be shown as the subprotocol of the screen's WebSocket."""
    await json_body(request)
    desk, application = desk_of(request), _application(request)
    await _permitted(desk, application, rules.Act.RUN, "show-program")
    return JSONResponse({"pass": desk.beside.screen_pass(application)})


async def show_screen(socket: WebSocket) -> None:
    """WebSocket of the screen: binary messages of RFB. The session's shell has checked ticket, origin and pass. It is judged when it is
    opened and, by the rules of then, as long as it is shown."""
    desk: Desk = socket.state.desk
    application = str(socket.path_params["application"])
    desk.policy.decide(desk.actor, Action.VIEW, Facts(kind=PAGE, page=Page.START))
    desk.beside.of(application)

    def judge(whole: published.Rules) -> published.Rules:
        if desk.standings is not None:
            rules.standing_now.set(desk.standings.of(socket.scope, socket.scope["state"].get("token")))
        _judged(desk, application, rules.Act.RUN)
        return _here(desk, application, whole)

    judge(published.Rules())
    await socket.accept(subprotocol=str(socket.scope["pass"]))
    with contextlib.suppress(WebSocketDisconnect):
        await desk.beside.show(application, socket, lambda whole: contextvars.copy_context().run(judge, whole))


# --- what passes here and now -----------------------------------------------------------------------------------------

ACTS: Final[Mapping[str, rules.Act]] = {
    "clipboard_in": rules.Act.COPY_IN,
    "clipboard_out": rules.Act.COPY_OUT,
    "transfer_in": rules.Act.SEND_FILE,
    "transfer_out": rules.Act.TAKE_FILE,
}


def _judged(desk: Desk, application: str, act: rules.Act) -> None:
    """Raises Forbidden where a rule of the trust forbids it, from where this request comes."""
    desk.policy.check(desk.actor, act, Facts(kind=PROGRAM, program=application))


def _refusal(desk: Desk, application: str, act: rules.Act) -> Denied | None:
    try:
        _judged(desk, application, act)
    except Denied as refused:
        return refused
    return None


async def _permitted(desk: Desk, application: str, act: rules.Act, action: str) -> None:
    """Like _judged; a refusal is on record."""
    refused = _refusal(desk, application, act)
    if refused is not None:
        await _note(desk, action, application, outcome="denied", reason=refused.reason or "rule")
        raise refused


def _here(desk: Desk, application: str, whole: published.Rules) -> published.Rules:
    """What is left of an application's rules from where this request comes."""
    held = {way for way, act in ACTS.items() if _refusal(desk, application, act) is not None}
    return replace(
        whole,
        clipboard_in=whole.clipboard_in and "clipboard_in" not in held,
        clipboard_out=whole.clipboard_out and "clipboard_out" not in held,
        transfer_in=whole.transfer_in and "transfer_in" not in held,
        transfer_out=whole.transfer_out and "transfer_out" not in held,
    )


def _facts(desk: Desk, running: published.Running) -> dict[str, Any]:
    whole, ended, application = running.rules, running.ended, running.application
    here = _here(desk, application, whole)
    withheld = {way: said for way, act in ACTS.items() if getattr(whole, way) and (said := _refusal(desk, application, act)) is not None}
    facts = {
        "state": str(running.state), "kind": str(running.kind), "zones": len(running.zones), "missing": list(running.missing),
        **{way: getattr(here, way) for way in ACTS}, "withheld": {way: said.text for way, said in withheld.items()},
        "file_mib_max": whole.file_bytes_max // 1024**2, "file_kinds": list(whole.file_kinds),
    }  # fmt: skip
    return facts | ({"why": ended.why, "status": ended.status, "said": ended.said[-600:]} if ended is not None else {})


# --- files ------------------------------------------------------------------------------------------------------


async def files(request: Request) -> Response:
    """GET: what lies in the program's Exchange folder and may be taken."""
    desk, running = desk_of(request), _running(request)
    _judged(desk, running.application, rules.Act.RUN)
    if not _here(desk, running.application, running.rules).transfer_out:
        return JSONResponse({"files": []})
    return JSONResponse({"files": [list(one) for one in await running.files() if running.rules.takes(one[0])]})


async def send(request: Request) -> Response:
    """POST ?name=... with the file as body: into the Exchange folder, beside whatever has that name already."""
    desk, running, wanted = desk_of(request), _running(request), request.query_params.get("name", "")
    await _allowed(desk, running, rules.Act.SEND_FILE, running.rules.transfer_in, wanted)
    _sized(running.rules, _length(request))
    name, fd = await running.new_file(wanted)
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            _sized(running.rules, size)
            _write_all(fd, piece)
    except OSError:
        raise Invalid("The program has no room for this file.", hint="Remove something there first.", reason="program-file-room") from None
    finally:
        os.close(fd)
    await _note(desk, "send-file", running.application, reason=f"{size} bytes")
    return JSONResponse({"name": name, "bytes": size})


async def take(request: Request) -> Response:
    """GET ?name=...: the file, to be kept on the person's computer."""
    desk, running, name = desk_of(request), _running(request), request.query_params.get("name", "")
    await _allowed(desk, running, rules.Act.TAKE_FILE, running.rules.transfer_out, name)
    fd = await running.file(name)
    size = os.fstat(fd).st_size
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, fd)
        _sized(running.rules, size)
        await _note(desk, "take-file", running.application, reason=f"{size} bytes")
        undo.pop_all()
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}", "content-length": str(size)}
    return StreamingResponse(_pieces(fd, size), media_type="application/octet-stream", headers=headers)


def _length(request: Request) -> int:
    said = request.headers.get("content-length", "")
    return int(said) if said.isdigit() and len(said) < 16 else 0


def _sized(whole: published.Rules, size: int) -> None:
    if size > whole.file_bytes_max:
        hint = f"At most {whole.file_bytes_max // 1024**2} MiB pass."
        raise Invalid("This file is too large.", hint=hint, reason="program-file-size")


async def _pieces(fd: int, size: int) -> AsyncIterator[bytes]:
    try:
        while size > 0 and (piece := os.read(fd, min(CHUNK, size))):
            size -= len(piece)
            yield piece
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def _allowed(desk: Desk, running: published.Running, act: rules.Act, yes: bool, name: str) -> None:
    """The application's rule, the trust's rules for this place, and the file's name; a refusal is on record."""
    application = running.application
    if not yes:
        await _note(desk, act, application, outcome="denied", reason="program-rule")
        raise Denied("This program lets no files pass this way.", hint="Ask your IT for the rule.", reason="program-rule")
    await _permitted(desk, application, rules.Act.RUN, act)
    await _permitted(desk, application, act, act)
    if not running.rules.takes(name):
        await _note(desk, act, application, outcome="denied", reason="program-file-kind")
        hint = f"These pass: {', '.join(running.rules.file_kinds)}."
        raise Invalid("Files of this kind do not pass.", hint=hint, reason="program-file-kind")


# --- inside ------------------------------------------------------------------------------------------------------


def _application(request: Request) -> str:
    return str(request.path_params["application"])[:64]


def _running(request: Request) -> published.Running:
    running = desk_of(request).beside.of(_application(request))
    if running.state is not published.ProgramState.RUNNING:
        raise NotFound("This program does not run.", hint="Start it.", reason="program-not-running")
    return running


async def _note(desk: Desk, action: str, application: str, *, outcome: str = "success", reason: str = "") -> None:
    entry = {"action": action, "kind": "Program", "object": application, "outcome": outcome, "reason": reason}
    await desk.gate.call("audit_append", entries=[entry])


def _side(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or not 0 < value <= SIDE_MAX:
        raise Invalid(f"'{name}' is no size of a screen.", reason="body")
    return value


def _credentials(body: dict[str, Any]) -> dict[str, str] | None:
    """For a Windows server; on their way to its client's standard input they stay in memory."""
    given: dict[str, Any] = {name: body[name] for name in ("user", "domain", "password") if name in body}
    if not given:
        return None
    if any(not isinstance(one, str) or len(one) > SECRET_CHARACTERS_MAX or "\n" in one for one in given.values()):
        raise Invalid("This is no name and password.", reason="body")
    return given


ROUTES: Final = (
    OfficeRoute("/programs", Page.START, show_programs),
    OfficeRoute("/programs/part", Page.START, show_part),
    OfficeRoute("/programs/{application}", Page.START, show_program),
    OfficeRoute("/programs/{application}/start", Page.START, start, ("POST",)),
    OfficeRoute("/programs/{application}/state", Page.START, state),
    OfficeRoute("/programs/{application}/end", Page.START, end, ("POST",)),
    OfficeRoute("/programs/{application}/pass", Page.START, pass_screen, ("POST",)),
    OfficeRoute("/programs/{application}/layout", Page.START, lay_out, ("POST",)),
    OfficeRoute("/programs/{application}/files", Page.START, files),
    OfficeRoute("/programs/{application}/files", Page.START, send, ("POST",)),
    OfficeRoute("/programs/{application}/file", Page.START, take),
)
