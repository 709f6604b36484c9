"""The list of what waits, one message with its mapping, and what a doctor decides about it. docs/integration.md."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.epr.kit.access import DOCTORS
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.visit import Visit, go
from cloister.integration import waiting

ACTS: Final = ("replay", "drop")


def _entitled(request: Request) -> Visit:
    visit = Visit.of(request)
    if not visit.may(DOCTORS):
        raise Denied(visit.word("messages.doctors"), reason="role")
    return visit


async def show_messages(request: Request) -> Response:
    visit = _entitled(request)
    lines, count = await waiting.listed(visit.records)
    rows = [(one, visit.words.or_else(f"messages.reason.{one.reason}", one.reason), (visit.now - one.since).days) for one in lines]
    done = request.query_params.get("done", "")
    return visit.page("messages/list.html", nav="/messages", rows=rows, count=count, done=done if done in ACTS else "")


async def show_message(request: Request) -> Response:
    visit = _entitled(request)
    found = await waiting.look(visit.records, request.path_params["message"])
    form = empty_form(visit.words, {"text": found.text, "mapping": found.mapping})
    return _drawn(visit, found, form)


async def decide(request: Request) -> Response:
    """Replay it as it was corrected, or put it aside."""
    visit = _entitled(request)
    id = request.path_params["message"]
    form = await read_form(request, visit.words)
    act = form.choice("act", ACTS)
    text, mapping = form.text("text"), form.text("mapping", needed=False)
    if form.good:
        try:
            if act == "drop":
                await waiting.drop(visit.records, id)
            else:
                await waiting.replay(visit.records, id, text=text, mapping=mapping or None)
            return go(f"/messages?done={act}")
        except (Invalid, Conflict, Denied) as refused:
            form.refused = refused
    return _drawn(visit, await waiting.look(visit.records, id), form)


def _drawn(visit: Visit, found: waiting.Replay, form: Form) -> Response:
    reason = visit.words.or_else(f"messages.reason.{found.reason}", found.reason)
    status = 200 if form.good else 422
    return visit.page("messages/one.html", nav="/messages", message=found, reason=reason, form=form, status=status)
