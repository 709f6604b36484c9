"""Why was this refused? Recent refusals by policy, for access officers and operators; found by a person or by the number on their page.

No patient is in it: who asked, for what kind of thing, from where, by which rule. Each look is on record.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import Page
from cloister.epr import Link, Visit
from cloister.web.offices.acting import desk_of
from cloister.web.offices.route import OfficeRoute

REFUSALS: Final = "/refusals"
READERS: Final = frozenset({"access-officer", "it-operator"})
LINKS: Final = (Link(path=REFUSALS, label="web.refusals.heading", roles=READERS),)


async def show(request: Request) -> Response:
    """GET /refusals?q=…"""
    search = request.query_params.get("q", "")[:100].strip()
    found = (await desk_of(request).door("refusals_shown", search=search))["refusals"]
    visit = Visit.of(request)
    language = visit.words.language
    rows = [{**row, "sentence": sentence(row, language)} for row in found]
    return visit.page("offices-refusals.html", nav=REFUSALS, search=search, rows=rows)


def sentence(row: dict[str, Any], language: str) -> tuple[str, str]:
    """The rule's own sentence and hint, in this language or in English."""
    said = row["said"].get(language) or row["said"].get("en") or ["", ""]
    return str(said[0]), str(said[1]) if len(said) > 1 else ""


ROUTES: Final = (OfficeRoute(REFUSALS, Page.REFUSALS, show),)
