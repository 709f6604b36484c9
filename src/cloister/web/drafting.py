"""The calls and pages of drafts: a form's fields come as they are typed, and go back to whoever typed them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Page
from cloister.base.errors import Denied, Invalid
from cloister.epr import Visit
from cloister.web.bodies import json_body
from cloister.web.drafts import Drafts
from cloister.web.offices.route import OfficeRoute

BODY_BYTES_MAX: Final = 400 * 1024
FIELDS_MAX: Final = 60
FORMS_MAX: Final = 100  # of one page
FORM_CHARACTERS_MAX: Final = 300
TITLE_CHARACTERS_MAX: Final = 200


async def keep(request: Request) -> Response:
    """POST /drafts {form, page, title, fields: {name: [values]}}: kept when this answers. `page`: where the form stands."""
    body = await json_body(request, BODY_BYTES_MAX)
    fields = _fields(body.get("fields"))
    form, page = _form(body.get("form")), _path(body.get("page", body.get("form")))
    moment = await _drafts(request).save(form, page, str(body.get("title", ""))[:TITLE_CHARACTERS_MAX], fields)
    return JSONResponse({"saved": moment})


async def find(request: Request) -> Response:
    """GET /drafts/of?form=...&form=...: {drafts: [{fields, saved} or null]}, one for each form that is asked for."""
    forms = [_form(given) for given in request.query_params.getlist("form")[:FORMS_MAX]]
    found = await _drafts(request).of(forms)
    return JSONResponse({"drafts": [{"fields": one.fields, "saved": one.saved} if (one := found.get(form)) else None for form in forms]})


async def drop(request: Request) -> Response:
    """POST /drafts/drop {form}: the person does not want it any more."""
    await _drafts(request).drop(_form((await json_body(request, BODY_BYTES_MAX)).get("form")))
    return JSONResponse({})


async def show_all(request: Request) -> Response:
    """GET /drafts: what is unfinished, with the way back to it."""
    found = [(one, datetime.fromisoformat(one.saved)) for one in await _drafts(request).all()]
    return Visit.of(request).page("drafts.html", nav="/drafts", drafts=found)


async def badge(request: Request) -> Response:
    return Visit.of(request).page("drafts-badge.html", count=await _drafts(request).count())


def _drafts(request: Request) -> Drafts:
    drafts = request.state.desk.drafts
    if drafts is None:
        raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
    assert isinstance(drafts, Drafts)
    return drafts


def _form(given: Any) -> str:
    """A form's path in plain form, as a request has it that brings the form."""
    return unquote(_path(given))


def _path(given: Any) -> str:
    if not isinstance(given, str) or not given.startswith("/") or given.startswith("//") or len(given) > FORM_CHARACTERS_MAX:
        raise Invalid("This is no form of the record.", reason="field", expression="form")
    return given


def _fields(given: Any) -> dict[str, list[str]]:
    fields = given if isinstance(given, dict) and len(given) <= FIELDS_MAX else None
    if fields is None or not all(isinstance(values, list) and all(isinstance(one, str) for one in values) for values in fields.values()):
        raise Invalid("These are no fields of a form.", reason="field", expression="fields")
    return fields


ROUTES: Final = (
    OfficeRoute("/drafts", Page.START, show_all),
    OfficeRoute("/drafts", Page.START, keep, ("POST",)),
    OfficeRoute("/drafts/of", Page.START, find),
    OfficeRoute("/drafts/drop", Page.START, drop, ("POST",)),
    OfficeRoute("/drafts/badge", Page.START, badge),
)
