"""The certificate officer's pages: people and their certificates, who is waiting to be certified, and the way back after a loss.

Kinds of unlocker are shown, never anything that opens. Acts are in offices/certifying.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Conflict, Denied, Invalid
from cloister.epr import Link, Visit
from cloister.offices import certifying
from cloister.web.desk import Desk
from cloister.web.offices.acting import Typed, acting, desk_of, hospitals_of, path_of
from cloister.web.offices.route import OfficeRoute
from cloister.zones import Forged

PEOPLE: Final = "/offices/people"
APPLICANTS: Final = "/offices/applicants"
ROLES: Final = ("doctor", "nurse", "access-officer", "certificate-officer", "privacy-officer", "management", "it-operator")
PAGE_ROWS: Final = 50


async def show_people(request: Request) -> Response:
    desk, asked = desk_of(request), request.query_params
    text = asked.get("q", "")[:100]
    rows = await desk.gate.call("office_people", text=text, after=[asked.get("name", "")[:200], asked.get("id", "")[:200]], limit=PAGE_ROWS)
    now = desk.clock()
    for row in rows:
        row["state"], row["until"] = certifying.term(row, desk.keyring, now)
    more = rows[-1] if len(rows) == PAGE_ROWS else None
    return Visit.of(request).page("offices-people.html", nav=PEOPLE, rows=rows, q=text, more=more)


async def show_person(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    row = await desk.gate.call("office_person", person=path_of(request, "person"))
    certificates = [_certificate(desk, one, desk.clock()) for one in row["certificates"]]
    mine = row["id"] == desk.actor.person
    return Visit.of(request).page(
        "offices-person.html",
        nav=PEOPLE,
        row=row,
        certificates=certificates,
        mine=mine,
        typed=Typed(typed or {}),
        refused=refused,
        done=request.query_params.get("done", "") if refused is None else "",
    )


def _certificate(desk: Desk, one: dict[str, Any], now: datetime) -> dict[str, Any]:
    """One certificate as this session verifies it."""
    state, until = certifying.term({"certificate": one["hash"], "der": one["der"], "revoked": one["revoked"]}, desk.keyring, now)
    return {"short": bytes(one["hash"]).hex()[:16], "issued": one["issued"], "until": until, "state": state}


async def _renew(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    person = path_of(request, "person")
    await certifying.renew(desk.keyring, desk.gate, person=person, now=desk.clock())
    return f"{PEOPLE}/{person}?done=renewed"


async def _revoke(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    person = path_of(request, "person")
    await certifying.revoke(desk.keyring, desk.gate, person=person, reason=values.get("reason", ""), now=desk.clock())
    return f"{PEOPLE}/{person}?done=revoked"


async def _again(request: Request, desk: Desk, values: Mapping[str, str]) -> Response:
    if values.get("met") != "1":
        raise Invalid("Meet the person first.", hint="Confirm that you know who it is.", reason="not-met")
    made = await certifying.register_again(desk.gate, person=path_of(request, "person"))
    return await show_applicants(request, code=made)


async def show_applicants(
    request: Request,
    *,
    typed: Mapping[str, str] | None = None,
    refused: CloisterError | None = None,
    code: certifying.Registered | None = None,
) -> Response:
    desk = desk_of(request)
    rows = await desk.gate.call("applicants")
    return Visit.of(request).page(
        "offices-applicants.html",
        nav=APPLICANTS,
        rows=rows,
        roles=ROLES,
        hospitals=hospitals_of(desk),
        typed=Typed(typed or {}),
        refused=refused,
        code=code,
    )


async def _register(request: Request, desk: Desk, values: Mapping[str, str]) -> Response:
    role, hospital = values.get("role", ""), values.get("hospital", "")
    if role not in ROLES or (hospital and hospital not in hospitals_of(desk)):
        raise Invalid("Choose a role and a hospital from the lists.", reason="form")
    made = await certifying.register(
        desk.gate,
        sign_in_name=values.get("sign_in", ""),
        name=values.get("name", ""),
        role=role,
        hospital=hospital or None,
        language="fr" if values.get("language") == "fr" else "en",
    )
    return await show_applicants(request, code=made)


async def show_applicant(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    """The keys' words are not shown: the officer types what the applicant says, so that nobody reads them out the wrong way round."""
    desk, brought = desk_of(request), None
    row = await desk.gate.call("applicant", id=path_of(request, "applicant"))
    try:
        _, brought = await certifying.answered(desk.gate, trust=desk.keyring.trust_id, applicant=row["id"])
    except Conflict:
        pass
    except (Forged, Invalid, Denied) as wrong:
        refused = refused or wrong
    return Visit.of(request).page(
        "offices-applicant.html", nav=APPLICANTS, row=row, brought=brought, typed=Typed(typed or {}), refused=refused
    )


async def _certify(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    person = await certifying.certify(
        desk.keyring, desk.gate, applicant=path_of(request, "applicant"), words=values.get("words", ""), now=desk.clock()
    )
    return f"{PEOPLE}/{person}?done=certified"


async def _withdraw(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    await desk.gate.call("applicant_withdraw", id=path_of(request, "applicant"))
    return APPLICANTS


def _route(path: str, handler: Any, method: str = "GET") -> OfficeRoute:
    return OfficeRoute(path, Page.CERTIFYING, handler, (method,))


ROUTES: Final = (
    _route(PEOPLE, show_people),
    _route(f"{PEOPLE}/{{person}}", show_person),
    _route(f"{PEOPLE}/{{person}}/renew", acting(show_person, _renew, up=1), "POST"),
    _route(f"{PEOPLE}/{{person}}/revoke", acting(show_person, _revoke, up=1), "POST"),
    _route(f"{PEOPLE}/{{person}}/again", acting(show_person, _again, up=1), "POST"),
    _route(APPLICANTS, show_applicants),
    _route(APPLICANTS, acting(show_applicants, _register), "POST"),
    _route(f"{APPLICANTS}/{{applicant}}", show_applicant),
    _route(f"{APPLICANTS}/{{applicant}}/certify", acting(show_applicant, _certify, up=1), "POST"),
    _route(f"{APPLICANTS}/{{applicant}}/withdraw", acting(show_applicant, _withdraw, up=1), "POST"),
)
OFFICE: Final = frozenset({"certificate-officer"})
LINKS: Final = (
    Link(path=PEOPLE, label="web.offices.people.link", roles=OFFICE),
    Link(path=APPLICANTS, label="web.offices.applicants.link", roles=OFFICE),
)
