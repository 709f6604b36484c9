"""One's second factors: one-time codes of a telephone (RFC 6238) and codes on paper. They prove; they open no key.

The door makes and keeps them (gateway/factors.py), because it must check them; this page only shows what the door answers, once.
"""

from __future__ import annotations

from typing import Any, Final

import segno
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import PAGE, Facts, Page, rules
from cloister.epr import Visit
from cloister.web.account import desk_of
from cloister.web.desk import Desk
from cloister.web.offices.acting import typed
from cloister.web.offices.route import OfficeRoute

HOME: Final = "/account/second"
NOTHING: Final[dict[str, Any]] = {"picture": "", "secret": "", "codes": ()}


async def show(request: Request) -> Response:
    """GET: which second factors there are."""
    return await _page(request)


async def _page(request: Request, **more: Any) -> Response:
    found = await desk_of(request).door("ways_list")
    return Visit.of(request).page(
        "second.html",
        nav="/account",
        ways=found,
        done=request.query_params.get("done", ""),
        **{**NOTHING, **more},
    )


def _may_add(desk: Desk) -> None:
    """A further way in is given under the same rules as a key."""
    desk.policy.check(desk.actor, rules.Act.RELEASE, Facts(kind=PAGE, page=Page.ACCOUNT))


async def begin_totp(request: Request) -> Response:
    """POST: a new secret, as a picture and as text; it counts once its first code was typed."""
    desk = desk_of(request)
    _may_add(desk)
    made = await desk.door("totp_begin")
    picture = segno.make(made["uri"], error="m").svg_data_uri(scale=5)
    return await _page(request, picture=picture, secret=made["secret"])


async def confirm_totp(request: Request) -> Response:
    """POST code: the first code; it is thereby used."""
    desk = desk_of(request)
    _may_add(desk)
    await desk.door("totp_confirm", code=(await typed(request)).get("code", "")[:20])
    return RedirectResponse(f"{HOME}?done=totp", status_code=303)


async def remove_totp(request: Request) -> Response:
    desk = desk_of(request)
    _may_add(desk)
    await desk.door("totp_remove")
    return RedirectResponse(f"{HOME}?done=removed", status_code=303)


async def make_paper(request: Request) -> Response:
    """POST: ten new codes in place of all older ones; shown once, to be printed."""
    desk = desk_of(request)
    _may_add(desk)
    made = await desk.door("paper_make")
    return await _page(request, codes=made["codes"])


ROUTES: Final = (
    OfficeRoute(HOME, Page.ACCOUNT, show, ("GET",)),
    OfficeRoute(f"{HOME}/totp", Page.ACCOUNT, begin_totp, ("POST",)),
    OfficeRoute(f"{HOME}/totp/confirm", Page.ACCOUNT, confirm_totp, ("POST",)),
    OfficeRoute(f"{HOME}/totp/remove", Page.ACCOUNT, remove_totp, ("POST",)),
    OfficeRoute(f"{HOME}/paper", Page.ACCOUNT, make_paper, ("POST",)),
)
