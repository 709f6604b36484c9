"""The privacy officer's page: who opened whose record, by person, patient and time; a patient's access report. docs/audit.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import PAGE, Facts, Page, rules
from cloister.base.clock import iso
from cloister.base.errors import Invalid
from cloister.epr import Link, Visit
from cloister.offices import access_report, privacy
from cloister.web.desk import Desk
from cloister.web.offices.acting import desk_of
from cloister.web.offices.route import OfficeRoute

PRIVACY: Final = "/offices/privacy"
REPORT: Final = "/offices/privacy/report"
DAYS_USUAL: Final = {"": 1, "asked": 30}  # without a person or patient; with one
DAYS_OF_REPORT: Final = 1100  # EHDS article 9: at least three years
REPORT_ENTRIES_MAX: Final = 20_000
TEXT_MAX: Final = 200


async def show_privacy(request: Request) -> Response:
    """GET: the filters are in the address, so that a search can be repeated; the answer holds only what this officer may see."""
    desk = desk_of(request)
    office = privacy.PrivacyOffice(desk.keyring, desk.gate)
    question, refused, found = _question(request, desk.clock()), None, None
    try:
        found = await office.search(question)
    except Invalid as wrong:
        refused = wrong
    names = _names(desk)
    if "application/json" in request.headers.get("accept", ""):
        if refused is not None:
            raise refused
        assert found is not None
        return JSONResponse({"more": found.more, "closed": found.closed, "entries": [_json(one, names) for one in found.entries]})
    return Visit.of(request).page(
        "offices-privacy.html",
        status=400 if refused is not None else 200,
        nav=PRIVACY,
        found=found,
        refused=refused,
        question=question,
        names=names,
        people=sorted((name, id) for id, name in names.items()),
        gaps=await office.gaps(),
        typed={name: request.query_params.get(name, "")[:TEXT_MAX] for name in ("person", "patient", "action", "kind", "outcome")},
    )


async def report(request: Request) -> Response:
    """GET: the patient's access report, `as` pdf or fhir."""
    desk, now = desk_of(request), desk_of(request).clock()
    question = _question(request, now, days=DAYS_OF_REPORT)
    if not question.patient:
        raise Invalid("An access report is about one patient.", hint="Give the patient's id.", reason="patient")
    desk.policy.check(desk.actor, rules.Act.PRINT, Facts(kind=PAGE, page=Page.PRIVACY))
    entries = await privacy.PrivacyOffice(desk.keyring, desk.gate).everything(question, REPORT_ENTRIES_MAX)
    made = access_report.Report(
        patient=question.patient,
        since=question.since,
        until=question.until,
        made=now,
        officer=desk.actor.name,
        trust=desk.trust,
        names=_names(desk),
        entries=[(one.seq, one.entry) for one in entries],
    )
    headers = {"cache-control": "no-store"}
    if request.query_params.get("as") == "fhir":
        bundle = access_report.as_bundle(made)
        return Response(json.dumps(bundle, ensure_ascii=False), media_type="application/fhir+json", headers=headers)
    headers["content-disposition"] = f'attachment; filename="access-{question.patient[:36]}.pdf"'
    return Response(access_report.as_pdf(made, Visit.of(request).words.language), media_type="application/pdf", headers=headers)


def _question(request: Request, now: datetime, *, days: int = 0) -> privacy.Question:
    given = {name: request.query_params.get(name, "").strip()[:TEXT_MAX] for name in ("person", "patient", "action", "kind", "outcome")}
    given["patient"] = given["patient"].removeprefix("Patient/")
    asked = "asked" if given["person"] or given["patient"] else ""
    until = _day(request.query_params.get("until", ""), now + timedelta(minutes=1), end=True)
    since = _day(request.query_params.get("since", ""), until - timedelta(days=days or DAYS_USUAL[asked]))
    before = request.query_params.get("before", "")
    return privacy.Question(since=since, until=until, before=int(before[:18]) if before.isdecimal() else privacy.NOTHING_BEFORE, **given)


def _day(text: str, otherwise: datetime, *, end: bool = False) -> datetime:
    """A date as the browser's field sends it; the day after for the end of a time."""
    if not text:
        return otherwise
    try:
        day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid("This is not a date.", hint="Write it as 2026-11-22.", reason="date") from None
    return day + timedelta(days=1) if end else day


def _names(desk: Desk) -> dict[str, str]:
    return {str(row["id"]): str(row["name"]) for row in desk.directory.get("people", ())}


def _json(one: privacy.Opened, names: dict[str, str]) -> dict[str, Any]:
    e = one.entry
    texts = {name: getattr(e, name) for name in ("actor", "session", "action", "kind", "object", "outcome", "reason", "source", "patient")}
    return {"seq": one.seq, "at": iso(e.at), "name": names.get(e.actor, ""), **texts}


LINKS: Final = (Link(path=PRIVACY, label="web.offices.privacy.link", roles=frozenset({"privacy-officer"})),)
ROUTES: Final = (OfficeRoute(PRIVACY, Page.PRIVACY, show_privacy), OfficeRoute(REPORT, Page.PRIVACY, report))
