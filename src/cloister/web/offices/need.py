"""Break-glass pages: ask for a zone in need, agree to a colleague's request, look at what was opened. docs/need.md.

The lists fetch themselves anew while they are seen; that is nobody's work and keeps no session unlocked (header x-quiet).
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Conflict, Invalid
from cloister.epr import CLINICAL_ROLES, Link, Visit
from cloister.offices import glass, glass_letters
from cloister.web.desk import Desk
from cloister.web.offices.route import OfficeRoute

HOME: Final = "/need"
OPENINGS: Final = "/need/openings"
OFFICERS: Final = frozenset({"access-officer"})
FIELDS_MAX: Final = 10
NOTHING_TYPED: Final = {"zone": "", "code": "", "reason": ""}


async def show_need(request: Request) -> Response:
    return await _page(request)


async def _page(request: Request, *, typed: dict[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = _desk(request)
    offers = await desk.glass.offers()
    choices = {"offers": offers, "codes": glass_letters.CODES, "longest": glass_letters.REASON_CHARACTERS_MAX}
    values = {**(await _lists(desk, offers)), **choices}
    status = 400 if refused is not None else 200
    return Visit.of(request).page("offices-need.html", status=status, nav=HOME, typed=typed or NOTHING_TYPED, refused=refused, **values)


async def _lists(desk: Desk, offers: list[glass.Offer]) -> dict[str, Any]:
    names = {one.zone: one.name for one in offers} | {held.zone: held.name for held in desk.keyring.zones}
    needed = {one.zone: one.approvers for one in offers}
    return {
        "openings": list(desk.glass.openings.values()),
        "asked": await desk.glass.asked(),
        "waiting": await desk.glass.waiting(),
        "zone_names": names,
        "needed": needed,
    }


async def show_lists(request: Request) -> Response:
    desk = _desk(request)
    return Visit.of(request).page("offices-need-lists.html", **(await _lists(desk, await desk.glass.offers())))


async def ask(request: Request) -> Response:
    """POST /need: zone, code, reason. Where nobody must agree the zone is open afterwards."""
    form = await request.form(max_fields=FIELDS_MAX)
    typed = {name: str(form.get(name) or "")[:2000] for name in ("zone", "code", "reason")}
    try:
        await _desk(request).glass.ask(typed["zone"][:200], typed["code"], typed["reason"])
    except (Invalid, Conflict) as refused:
        return await _page(request, typed=typed, refused=refused)
    return _home(request)


async def act(request: Request) -> Response:
    """POST /need/{request}/{act}"""
    number, held = request.path_params["request"][:100], _desk(request).glass
    acts = {"approve": held.approve, "refuse": held.refuse, "open": held.open, "end": held.end, "withdraw": held.withdraw}
    chosen = acts.get(request.path_params["act"])
    if chosen is None:
        raise Invalid("There is no such step.", reason="no-such-page")
    await chosen(number)
    return _home(request)


async def show_badge(request: Request) -> Response:
    """What waits for this person; no page of words when the store does not answer, because nobody asked for this by hand: it asks again."""
    desk = _desk(request)
    try:
        asked, unreviewed = await desk.gate.call("glass_badge")
    except CloisterError:
        return Response(status_code=503)
    visit = Visit.of(request)
    return HTMLResponse(visit.draw("offices-need-badge.html", {"asked": asked, "unreviewed": unreviewed}))


async def show_openings(request: Request) -> Response:
    """GET /need/openings: for access officers, what nobody has reviewed; with ?all=1 everything."""
    desk, whole = _desk(request), request.query_params.get("all") == "1"
    looked = await glass.looked(desk.keyring, desk.gate, desk.clock(), reviewed=whole)
    return Visit.of(request).page("offices-need-openings.html", nav=OPENINGS, looked=looked, whole=whole, verdicts=glass_letters.VERDICTS)


async def end_opening(request: Request) -> Response:
    await _desk(request).gate.call("glass_end", request=request.path_params["request"][:100])
    return RedirectResponse(OPENINGS, status_code=303)


async def review_opening(request: Request) -> Response:
    desk, form = _desk(request), await request.form(max_fields=FIELDS_MAX)
    number = request.path_params["request"][:100]
    await glass.review(desk.keyring, desk.gate, number, str(form.get("verdict") or ""), desk.clock())
    return RedirectResponse(OPENINGS, status_code=303)


def _home(request: Request) -> Response:
    return RedirectResponse(HOME, status_code=303)


def _desk(request: Request) -> Desk:
    desk = request.state.desk
    assert isinstance(desk, Desk)
    return desk


ROUTES: Final = (
    OfficeRoute("/need", Page.ASKING, show_need),
    OfficeRoute("/need", Page.ASKING, ask, ("POST",)),
    OfficeRoute("/need/lists", Page.ASKING, show_lists),
    OfficeRoute("/need/badge", Page.START, show_badge),
    OfficeRoute("/need/openings", Page.GRANTING, show_openings),
    OfficeRoute("/need/openings/{request}/end", Page.GRANTING, end_opening, ("POST",)),
    OfficeRoute("/need/openings/{request}/review", Page.GRANTING, review_opening, ("POST",)),
    OfficeRoute("/need/{request}/{act}", Page.ASKING, act, ("POST",)),
)
LINKS: Final = (
    Link(path=HOME, label="web.offices.need.link", roles=CLINICAL_ROLES),
    Link(path=OPENINGS, label="web.offices.need.openings", roles=OFFICERS),
)
