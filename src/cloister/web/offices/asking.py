"""A clinician asks for a zone, and sees what became of it. Acts are in offices/asking.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Invalid
from cloister.epr import CLINICAL_ROLES, Link, Visit
from cloister.offices import asking
from cloister.web.desk import Desk
from cloister.web.offices.acting import Typed, acting, days, desk_of, names_of
from cloister.web.offices.route import OfficeRoute

HOME: Final = "/access-request"


async def show(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk, names = desk_of(request), names_of(desk_of(request))
    rows = await asking.asked(desk.keyring, desk.gate, open_only=False, now=desk.clock())
    return Visit.of(request).page(
        "offices-asking.html",
        nav=HOME,
        rows=rows,
        names=names,
        typed=Typed(typed or {}),
        refused=refused,
        done=request.query_params.get("done", "") if refused is None else "",
    )


async def _ask(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone = values.get("zone", "")
    if zone not in names_of(desk):
        raise Invalid("Choose a zone from the list.", reason="form")
    await asking.ask(
        desk.keyring,
        desk.gate,
        zone=zone,
        right=values.get("right", ""),
        days=days(values),
        reason=values.get("reason", ""),
        now=desk.clock(),
    )
    return f"{HOME}?done=asked"


async def _withdraw(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    await asking.withdraw(desk.gate, request=str(request.path_params["request"])[:100])
    return HOME


def _route(path: str, handler: Any, method: str = "GET") -> OfficeRoute:
    return OfficeRoute(path, Page.ASKING, handler, (method,))


ROUTES: Final = (
    _route(HOME, show),
    _route(HOME, acting(show, _ask), "POST"),
    _route(f"{HOME}/{{request}}/withdraw", acting(show, _withdraw, up=2), "POST"),
)
LINKS: Final = (Link(path=HOME, label="web.offices.asking.link", roles=CLINICAL_ROLES),)
