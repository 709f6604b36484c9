"""Apps in a person's own session: what they ask, what was allowed, and which may be started from a chart. docs/smart.md.

The person's word is given here and kept here: an app acts with this session's keys, within what is written in this list,
and no longer than the session lives. The door carries the word and cannot widen it.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import Page, Scopes, read_scopes
from cloister.base.ids import new_id
from cloister.epr import Traits, Visit, traits_of
from cloister.records import Records, parse
from cloister.web.account import desk_of
from cloister.web.allowed import Allowed
from cloister.web.offices.route import OfficeRoute

FOUND_MAX: Final = 20
NAME_MAX: Final = 100


# --- consent --------------------------------------------------------------------------------------------------


async def show_consent(request: Request) -> Response:
    """GET /smart/consent?request=...: who asks for what, and, where the app needs a patient, whose record."""
    return await _consent(request, request.query_params.get("request", ""), query="")


async def _consent(request: Request, name: str, *, query: str, problem: str = "") -> Response:
    visit, desk = Visit.of(request), desk_of(request)
    asked = await desk.allowed_apps.ask("app_asked", request=name)
    scopes = read_scopes(str(asked["scopes"]))
    chosen = await _patient(desk.records, str(asked["patient"])) if asked["patient"] else None
    found = await _found(desk.records, query) if query and chosen is None else []
    return visit.page(
        "apps-consent.html",
        request_name=name,
        asked=asked,
        reads=_kinds(scopes, "rs"),
        writes=_kinds(scopes, "cud"),
        stays=bool({"offline_access", "online_access"} & set(scopes.words)),
        whole=not scopes.of_level("patient").resources,
        needs_patient=needs_patient(scopes),
        patient=chosen,
        found=found,
        query=query,
        problem=problem,
        status=400 if problem else 200,
    )


async def decide(request: Request) -> Response:
    """POST /smart/consent: yes, no, or a name to look for."""
    visit, desk = Visit.of(request), desk_of(request)
    form = await request.form()
    name, answer = str(form.get("request", "")), str(form.get("answer", ""))
    if answer == "find":
        return await _consent(request, name, query=str(form.get("query", ""))[:NAME_MAX].strip())
    if answer != "allow":
        return visit.page("apps-onward.html", to=str((await desk.allowed_apps.ask("app_allowed", request=name))["to"]))
    asked = await desk.allowed_apps.ask("app_asked", request=name)
    scopes = read_scopes(str(asked["scopes"]))
    patient = str(asked["patient"]) or str(form.get("patient", ""))[:64]
    who = ""
    if patient:
        who = (await _patient(desk.records, patient)).name(visit.words)  # refused unless this session can open it
    elif needs_patient(scopes):
        return await _consent(request, name, query="", problem="web.smart.choose")
    allowed = Allowed(
        grant=new_id(), client=str(asked["client"]), name=str(asked["name"]), scopes=scopes, patient=patient, who=who,
        origins=frozenset(map(str, asked["origins"])), since=desk.clock(),
    )  # fmt: skip
    desk.allowed_apps.allow(allowed)
    answered = await desk.allowed_apps.ask("app_allowed", request=name, grant=allowed.grant, patient=patient)
    return visit.page("apps-onward.html", to=str(answered["to"]))


def needs_patient(scopes: Scopes) -> bool:
    return "launch/patient" in scopes.words or bool(scopes.of_level("patient").resources)


async def _patient(records: Records, id: str) -> Traits:
    return traits_of((await records.read("Patient", id)).resource or {})


async def _found(records: Records, query: str) -> list[Traits]:
    page = await records.search(parse("Patient", [("name", query), ("_count", str(FOUND_MAX))]))
    return [traits_of(hit.stored.resource or {}) for hit in page.hits]


def _kinds(scopes: Scopes, letters: str) -> list[str]:
    """The resource types for which any of these letters was asked; '*' alone where it stands for all."""
    kinds = sorted({one.kind for one in scopes.resources if set(letters) & set(one.letters)})
    return ["*"] if "*" in kinds else kinds


# --- the list, and starting from a chart ---------------------------------------------------------------------------


async def show_apps(request: Request) -> Response:
    """GET /smart/apps?patient=...: what is allowed now; and, for a patient, which apps can be started."""
    visit, desk = Visit.of(request), desk_of(request)
    id = request.query_params.get("patient", "")[:64]
    patient = await _patient(desk.records, id) if id else None
    listed = (await desk.allowed_apps.ask("app_list"))["apps"] if patient is not None else []
    kept = sorted(desk.allowed_apps.kept.values(), key=lambda one: one.since)
    return visit.page("apps.html", patient=patient, apps=listed, allowed=kept)


async def end_app(request: Request) -> Response:
    """POST /smart/apps/end: the app's tokens open nothing from now on."""
    desk_of(request).allowed_apps.end(str((await request.form()).get("grant", "")))
    return RedirectResponse("/smart/apps", status_code=303)


async def launch(request: Request) -> Response:
    """POST /smart/launch: the app opens with this patient, and asks (SMART App Launch 2, EHR launch)."""
    visit, desk = Visit.of(request), desk_of(request)
    form = await request.form()
    patient = await _patient(desk.records, str(form.get("patient", ""))[:64])
    answer = await desk.allowed_apps.ask("app_launched", client=str(form.get("client", "")), patient=patient.id)
    return visit.page("apps-onward.html", to=str(answer["to"]))


ROUTES: Final = (
    OfficeRoute("/smart/consent", Page.CHART, show_consent),
    OfficeRoute("/smart/consent", Page.CHART, decide, ("POST",)),
    OfficeRoute("/smart/apps", Page.CHART, show_apps),
    OfficeRoute("/smart/apps/end", Page.CHART, end_app, ("POST",)),
    OfficeRoute("/smart/launch", Page.CHART, launch, ("POST",)),
)
