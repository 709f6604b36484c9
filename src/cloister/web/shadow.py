"""Pages of showing one's screen: somebody asks, the person lets them in and sees that they look, either ends it. View only."""

from __future__ import annotations

import base64
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.epr import Visit
from cloister.web.bodies import json_body
from cloister.web.offices.route import OfficeRoute
from cloister.web.shadows import Shadows

PICTURE_BYTES_MAX: Final = 900 * 1024
TEXTS: Final = ("html", "title", "path")


async def show_asking(request: Request) -> Response:
    """GET /shadow: whom do you want to look over the shoulder of."""
    return Visit.of(request).page("shadow.html", nav="/shadow", problem="")


async def ask(request: Request) -> Response:
    """POST /shadow {sign_in}: the person is told in their open pages."""
    sign_in = str((await request.form()).get("sign_in", "")).strip().lower()[:200]
    try:
        asked = await _shadows(request).ask(sign_in)
    except CloisterError as refused:
        if refused.reason != "shadow-whom":
            raise
        return Visit.of(request).page("shadow.html", nav="/shadow", problem="web.shadow.nobody", status=404)
    if request.state.desk.nudge is not None:
        await request.state.desk.nudge("nudge", person=asked.shown)
    return RedirectResponse(f"/shadow/{asked.id}", status_code=303)


async def watch(request: Request) -> Response:
    return Visit.of(request).page("shadow-watch.html", nav="/shadow", number=request.path_params["number"])


async def look(request: Request) -> Response:
    """GET /shadow/{number}/look?after=N: see Shadows.look."""
    after = request.query_params.get("after", "0")
    return JSONResponse(await _shadows(request).look(str(request.path_params["number"])[:64], int(after) if after.isdigit() else 0))


async def badge(request: Request) -> Response:
    """GET /shadow/badge: who asks, and who looks; a part of every page."""
    shadows = _shadows(request)
    asked = await shadows.asked()
    watchers = [(number, name) for number, (_, name) in shadows.showing.items()]
    return Visit.of(request).page("shadow-badge.html", asked=asked, watchers=watchers)


async def answer(request: Request) -> Response:
    """POST /shadow/{number}/answer {answer: yes or no}."""
    yes = (await request.form()).get("answer") == "yes"
    await _shadows(request).answer(str(request.path_params["number"])[:64], yes)
    return await badge(request)


async def frame(request: Request) -> Response:
    """POST /shadow/frame {html, title, path, width, scroll, program}: what the page looks like now. {watchers: names}."""
    body = await json_body(request, PICTURE_BYTES_MAX)
    if not all(isinstance(body.get(name), str) for name in TEXTS):
        raise Invalid("This is no picture of a page.", reason="field")
    picture: dict[str, Any] = {name: body[name] for name in TEXTS}
    picture |= {name: int(body[name]) for name in ("width", "scroll") if isinstance(body.get(name), int)}
    shadows, beside = _shadows(request), request.state.desk.beside
    if not shadows.showing:
        beside.look_away()
        return JSONResponse({"watchers": []})
    if isinstance(body.get("program"), str):  # the page of a program: what its screen shows, as this session sees it itself
        seen = await beside.picture(body["program"][:64])
        if seen is None:
            return JSONResponse({"watchers": [name for _, name in shadows.showing.values()]})
        picture["image"] = {"width": seen.width, "height": seen.height, "png": base64.b64encode(seen.png).decode()}
    return JSONResponse({"watchers": await shadows.show(picture)})


async def end(request: Request) -> Response:
    await _shadows(request).end(str(request.path_params["number"])[:64])
    return await badge(request) if request.headers.get("hx-request") else RedirectResponse("/shadow", status_code=303)


def _shadows(request: Request) -> Shadows:
    shadows = request.state.desk.shadows
    if shadows is None:
        raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
    assert isinstance(shadows, Shadows)
    return shadows


ROUTES: Final = (
    OfficeRoute("/shadow", Page.ACCOUNT, show_asking),
    OfficeRoute("/shadow", Page.ACCOUNT, ask, ("POST",)),
    OfficeRoute("/shadow/badge", Page.ACCOUNT, badge),
    OfficeRoute("/shadow/frame", Page.ACCOUNT, frame, ("POST",)),
    OfficeRoute("/shadow/{number}", Page.ACCOUNT, watch),
    OfficeRoute("/shadow/{number}/look", Page.ACCOUNT, look),
    OfficeRoute("/shadow/{number}/answer", Page.ACCOUNT, answer, ("POST",)),
    OfficeRoute("/shadow/{number}/end", Page.ACCOUNT, end, ("POST",)),
)
