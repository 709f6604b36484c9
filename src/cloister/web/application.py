"""The application that a session serves: the modules' screens, the account, the console, and the FHIR interface beside them.

Runs behind the session's own checks (ticket, unlocked). Every screen is decided by the policy before its handler runs; errors
of the store become pages in the person's language.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.access import PAGE, Action, Facts, Page, rules
from cloister.base.errors import HTTP_STATUS, CloisterError, Corrupt, Denied, NotFound, number_of, numbering
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.epr import CLINICAL_ROLES, LANGUAGES, Visit
from cloister.records import Records
from cloister.web import (
    account,
    again,
    apps,
    came_back,
    cards,
    console,
    drafting,
    files,
    groups,
    network,
    operating,
    programs,
    second,
    shadow,
    ways,
)
from cloister.web.desk import Desk, DeskOf
from cloister.web.drafts import saved_form
from cloister.web.headers import PAGE_HEADERS
from cloister.web.offices import LINKS, ROUTES, STARTS
from cloister.web.pages import Pages

Handler = Callable[[Request], Awaitable[Response]]
# A token of the session's shell to the records that it opens, and the origins whose pages may read the answers.
Narrow = Callable[[Any], tuple[Records, frozenset[str]]]

LANGUAGE_COOKIE: Final = "language"
LANGUAGE_SECONDS: Final = 365 * 24 * 3600
FHIR: Final = "/fhir/"
RELEASING: Final = frozenset({Page.GRANTING, Page.RECOVERY})  # what is posted there gives or takes keys
EXPOSED: Final = b"ETag, Location, Content-Location, Last-Modified, Retry-After, X-Progress, DPoP-Nonce"


def workspace(pages: Pages, desk_of: DeskOf, *, fhir: ASGIApp | None = None, narrowed: Narrow | None = None) -> Circumstances:
    """`fhir` is served beside the pages; it finds `request.state.records`. `narrowed` gives the records of a token."""
    served: list[BaseRoute] = [Route("/", _guarded(Page.START, partial(_start, pages)), methods=["GET"])]
    for module in pages.modules:
        served += [Route(screen.path, _guarded(Page.CHART, screen.handler), methods=list(screen.methods)) for screen in module.screens]
    served += [
        Route("/account", _guarded(Page.ACCOUNT, account.show_account), methods=["GET"]),
        Route("/account/passkeys/start", _guarded(Page.ACCOUNT, account.start_passkey), methods=["POST"]),
        Route("/account/passkeys", _guarded(Page.ACCOUNT, account.add_passkey), methods=["POST"]),
        Route("/console/ciphertext", _guarded(Page.CONSOLE, console.show_ciphertext), methods=["GET"]),
        *(
            Route(one.path, _guarded(one.page, one.handler), methods=list(one.methods))
            for one in (
                *ROUTES,
                *apps.ROUTES,
                *cards.ROUTES,
                *files.ROUTES,
                *came_back.ROUTES,
                *drafting.ROUTES,
                *operating.ROUTES,
                *groups.ROUTES,
                *programs.ROUTES,
                *shadow.ROUTES,
                *ways.ROUTES,
                *again.ROUTES,
                *second.ROUTES,
                *network.ROUTES,
            )
        ),
        Route("/language/{language}", _choose_language, methods=["POST"]),
        Route("/here", _here, methods=["GET"]),
        WebSocketRoute("/programs/{application}/screen", programs.show_screen),
    ]
    screens = ExceptionMiddleware(Router(served), handlers={CloisterError: _refused, HTTPException: _no_such_page})
    return Circumstances(screens, fhir or Router(), pages, desk_of, narrowed)


def _guarded(page: Page, handler: Handler) -> Handler:
    """The policy first: a screen that a role may not see is refused before anything is read."""

    async def guarded(request: Request) -> Response:
        desk: Desk = request.state.desk
        facts = Facts(kind=PAGE, page=page)
        desk.policy.decide(desk.actor, Action.VIEW, facts)
        if request.method == "POST" and page in RELEASING:
            await _released(desk, facts)
        return await handler(request)

    return guarded


async def _released(desk: Desk, facts: Facts) -> None:
    """Whoever gives or takes keys does so from where, and as lately proved, as the trust's rules want; a refusal is on record."""
    try:
        desk.policy.check(desk.actor, rules.Act.RELEASE, facts)
    except Denied as refused:
        note = {"action": str(rules.Act.RELEASE), "kind": "page", "object": facts.page, "outcome": "denied", "reason": refused.reason}
        await desk.gate.call("audit_append", entries=[note])
        raise


async def _start(pages: Pages, request: Request) -> Response:
    """The first page after sign-in, by role."""
    visit = Visit.of(request)
    for module in pages.modules:
        if module.start and visit.may(module.roles):
            return await module.start(request)
    if visit.actor.role in STARTS:
        return RedirectResponse(STARTS[visit.actor.role], status_code=303)
    if visit.actor.role == "it-operator":
        return RedirectResponse("/console", status_code=303)
    return visit.page("start.html", nav="/")


async def _choose_language(request: Request) -> Response:
    """POST /language/fr?back=/patients: remembered in this browser, and no secret."""
    language, back = request.path_params["language"], request.query_params.get("back", "/")
    response = RedirectResponse(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/", status_code=303)
    if language in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=LANGUAGE_SECONDS, secure=True, httponly=True, samesite="strict")
    return response


async def _here(request: Request) -> Response:
    """Somebody works on this page: passing through the session's shell is what keeps it unlocked."""
    return Response(status_code=204)


# --- around every request -----------------------------------------------------------------------


class Circumstances:
    """Puts desk, records and visit into the request's state, and the headers onto every page. FHIR takes the short way:
    programs ask thousands of times a minute, and the walk past every page's route would cost them more than reading."""

    def __init__(self, screens: ASGIApp, fhir: ASGIApp, pages: Pages, desk_of: DeskOf, narrowed: Narrow | None = None) -> None:
        self._screens = screens
        self._fhir = fhir
        self._pages = pages
        self._desk_of = desk_of
        self._narrowed = narrowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        desk = self._desk_of(state.get("runtime"))
        state["desk"], state["records"] = desk, desk.records
        token = state.get("token")
        if desk.standings is not None:  # of this request's task alone
            rules.standing_now.set(desk.standings.of(scope, token))
        numbering.set(desk.refusals.note if desk.refusals is not None else None)
        if scope["type"] == "websocket":
            await self._screens(scope, receive, send)
            return
        if token is not None and token.narrow:
            if self._narrowed is None:
                raise Denied("Tokens are not narrowed here.", reason="token")
            state["records"], origins = self._narrowed(token)
            send = shared(scope, send, origins)
        if scope["path"].startswith(FHIR):
            await self._fhir(scope, receive, send)
            return
        scope["app"] = self  # so that the router raises what it refuses, and the page of errors is drawn here
        state["visit"] = visit_of(Request(scope), self._pages, desk)
        answer = Answer(send)
        try:
            await self._screens(scope, receive, answer)
            if scope["method"] == "POST" and answer.status in (200, 303):  # a form that is refused is answered otherwise
                await saved_form(desk.drafts, scope["path"])
        except Exception as fault:  # the process's edge: its text may hold a patient's words, so nobody gets it
            log("page.fault", level="error", kind=type(fault).__name__, at=where_of(fault))
            if not answer.begun:
                await (await _refused(Request(scope), _FAULT))(scope, receive, answer)


def shared(scope: Scope, send: Send, origins: frozenset[str]) -> Send:
    """Answers to an app's page: readable there (Fetch Standard, CORS protocol), if it is one of the app's own origins."""
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    if origin not in origins:
        return send
    more = [(b"access-control-allow-origin", origin.encode()), (b"vary", b"Origin"), (b"access-control-expose-headers", EXPOSED)]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return sent


class Answer:
    """Sends, with the headers of every page; knows whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun, self.status = True, int(message["status"])
            have = {name.lower() for name, _ in message.get("headers", ())}
            more = [(name.encode(), value.encode()) for name, value in PAGE_HEADERS.items() if name.encode() not in have]
            message["headers"] = [*message.get("headers", ()), *more]
        await self._send(message)


def visit_of(request: Request, pages: Pages, desk: Desk) -> Visit:
    words = pages.catalogue.wanted(chosen=request.cookies.get(LANGUAGE_COOKIE), accept="", usual=desk.actor.language)
    now = desk.clock()

    def draw(template: str, context: Mapping[str, Any]) -> str:
        every = (*(link for module in pages.modules for link in module.top), *LINKS, *operating.LINKS)
        links = [link for link in every if desk.actor.role in link.roles]
        shell = {
            "me": desk.actor,
            "trust": desk.trust,
            "hospital": desk.hospital,
            "now": now,
            "idle_seconds": desk.idle_lock_seconds,
            "card": desk.card,
            "clinical": desk.actor.role in CLINICAL_ROLES,
            "keeps_drafts": desk.drafts is not None,
            "came_back": desk.came_back is not None and bool(desk.came_back.lost),
            "nav": "",
            "links": links,
            "needs": list(desk.in_need.openings.values()) if desk.in_need is not None else [],
            "path": request.url.path,
        }
        return pages.draw(template, words, {**shell, **context})

    return Visit(records=desk.records, actor=desk.actor, words=words, wards=desk.wards, now=now, draw=draw, modules=pages.modules)


# --- errors as pages --------------------------------------------------------------------------------


_FAULT: Final = Corrupt("Something went wrong inside.", hint="Try again, and tell IT if it happens twice.", reason="fault")


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


async def _refused(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, CloisterError)
    status = HTTP_STATUS[raised.category]
    visit = Visit.of(request)
    if _wants_json(request):
        text, hint, number = raised.text, raised.hint, number_of(raised)
        if isinstance(raised, rules.Forbidden):
            text, hint = rules.hinted(raised.refused, visit.words.language)
        hint = f"{hint} {visit.word('web.refusals.number', number=number)}".strip() if number else hint
        said = {"error": raised.reason or raised.category, "category": raised.category, "text": text, "hint": hint}
        return JSONResponse({**said, **({"remedy": raised.remedy} if raised.remedy else {})}, status_code=status)
    body = visit.draw("error.html", {"error": raised, "status": status})
    headers = {"retry-after": "5"} if raised.category in ("busy", "unavailable") else {}
    if request.headers.get("hx-request") == "true":  # htmx shows no error's body in place of a list; the page is loaded instead
        headers["hx-retarget"], headers["hx-reswap"] = "#main", "innerHTML"
        body = visit.draw("error-part.html", {"error": raised, "status": status})
    return HTMLResponse(body, status_code=status, headers=headers)


async def _no_such_page(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    if raised.status_code == 404:
        return await _refused(request, NotFound("There is no such page.", reason="no-such-page"))
    return Response(f"{raised.detail}\n", status_code=raised.status_code, headers=raised.headers, media_type="text/plain")
