"""What directories and staff lists propose, for the certificate officer: looked at, accepted or refused; nothing is granted here."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import Page
from cloister.epr import Link, Visit
from cloister.web.offices.acting import desk_of, path_of, typed
from cloister.web.offices.route import OfficeRoute

HOME: Final = "/offices/directory"


async def show(request: Request) -> Response:
    """GET: what is open."""
    found = await desk_of(request).door("proposals_list")
    return Visit.of(request).page("offices-directory.html", nav=HOME, proposals=found["proposals"], count=found["count"])


async def decide(request: Request) -> Response:
    """POST answer=accept or refuse. A person or a group is then seen to on its own page."""
    answer = (await typed(request)).get("answer", "")
    number = path_of(request, "proposal")
    await desk_of(request).door("proposal_decide", id=int(number) if number.isdigit() else 0, answer=answer)
    return RedirectResponse(HOME, status_code=303)


ROUTES: Final = (
    OfficeRoute(HOME, Page.CERTIFYING, show, ("GET",)),
    OfficeRoute(f"{HOME}/{{proposal}}", Page.CERTIFYING, decide, ("POST",)),
)
LINKS: Final = (Link(path=HOME, label="web.offices.directory.link", roles=frozenset({"certificate-officer"})),)
