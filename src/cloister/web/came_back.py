"""Back after a session that died: what of it is lost, said on the person's own pages until they have read it. docs/servers.md.

Saved is saved. Of what was typed and not saved the drafts tell up to which moment it is kept: lost is at most what came after.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import Page
from cloister.epr import Visit
from cloister.web.offices.route import OfficeRoute


async def show(request: Request) -> Response:
    """GET /came-back: a part of every page, until it was read."""
    desk = request.state.desk
    came = desk.came_back
    if came is None or not came.lost:
        return Response("")
    drafts = came.typed_then(await desk.drafts.all()) if desk.drafts is not None else []
    return Visit.of(request).page("came-back.html", lost=came.lost, missed=datetime.fromisoformat(came.lost["missed"]), drafts=drafts)


async def read(request: Request) -> Response:
    """POST /came-back/read: the person has read it."""
    came = request.state.desk.came_back
    if came is not None:
        came.lost = {}
    return Response("") if request.headers.get("hx-request") == "true" else RedirectResponse("/", status_code=303)


ROUTES: Final = (
    OfficeRoute("/came-back", Page.START, show),
    OfficeRoute("/came-back/read", Page.START, read, ("POST",)),
)
