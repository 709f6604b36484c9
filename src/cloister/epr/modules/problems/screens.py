"""The problem list, and the form that adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid
from cloister.epr.kit.bedside import Bedside, open_bedside
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.module import Resources
from cloister.epr.kit.visit import Visit, go
from cloister.epr.modules.problems.model import ICD10_FORM, condition, merged, normal_code, problems_of

NEEDS: Final = {"Condition": 500}
OTHERS_ON_CARD: Final = 8
CERTAINTIES: Final = ("confirmed", "provisional")


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    active, others = problems_of(resources)
    past = merged(others)
    return {"active": merged(active), "others": past[:OTHERS_ON_CARD], "more": max(0, len(past) - OTHERS_ON_CARD)}


async def show_problems(request: Request) -> Response:
    bedside = await open_bedside(request, NEEDS)
    active, others = problems_of(bedside.resources)
    return bedside.page("problems/list.html", active=active, others=others)


async def new_problem(request: Request) -> Response:
    bedside = await open_bedside(request)
    return _drawn(bedside, empty_form(bedside.visit.words))


async def save_problem(request: Request) -> Response:
    bedside = await open_bedside(request)
    visit = bedside.visit
    form = await read_form(request, visit.words)
    text = form.line("text")
    code = normal_code(form.line("code", needed=False, longest=10))
    if code and not ICD10_FORM.fullmatch(code):
        form.wrong["code"] = visit.word("problems.code-wrong")
    since = form.moment("since", now=visit.now, needed=False)
    verified = form.choice("certainty", CERTAINTIES) == "confirmed"
    if form.good:
        try:
            await bedside.chart.write(
                condition(bedside.id, code=code, text=text, since=since, verified=verified, author=visit.actor.name, now=visit.now)
            )
            return go(bedside.path("?saved=problems"))
        except (Invalid, Conflict) as refused:
            form.refused = refused
    return _drawn(bedside, form)


def _drawn(bedside: Bedside, form: Form) -> Response:
    return bedside.page("problems/new.html", form=form, certainties=CERTAINTIES, status=200 if form.good else 422)
