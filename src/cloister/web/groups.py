"""The console's page of delivery groups: which servers offer what, to whom. The controller does it, as for `cloister server group`."""

from __future__ import annotations

from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Invalid
from cloister.epr import Visit
from cloister.identity import Role
from cloister.web.offices.route import OfficeRoute
from cloister.web.operating import asked

LISTS: Final = ("applications", "servers", "labels", "roles")
TEXTS: Final = ("name", "hospital", "image")
NUMBERS: Final = ("tolerance", "server_max")
NEW: Final[dict[str, Any]] = {
    "id": "", "name": "", "applications": ["record"], "servers": [], "labels": [], "roles": [], "hospital": "", "image": "",
    "tolerance": 4, "server_max": None,
}  # fmt: skip
SAID: Final = frozenset({"made", "changed", "removed", "labelled"})
# What is refused by name; the words are web.operating.group.bad.*
BAD: Final = frozenset(
    {"id", "name", "hospital", "image", "applications", "servers", "labels", "roles", "tolerance", "server_max", "same", "default", "sure"}
)


async def show_groups(request: Request) -> Response:
    """GET /console/groups?group=...: every group, and a form for one; without a name, for a new one."""
    said = request.query_params.get("said", "")
    return await _page(request, request.query_params.get("group", "")[:40], said=said if said in SAID else "")


async def act(request: Request) -> Response:
    """POST /console/groups {act: set, remove or label, ...}. What is refused is shown with all that was typed."""
    form = await request.form(max_files=0, max_fields=40)
    do = {"set": _set, "remove": _remove, "label": _label}.get(str(form.get("act", "")))
    if do is None:
        raise Invalid("There is no such act.", reason="method")
    id = str(form.get("id", "")).strip()[:200]
    try:
        said = await do(request, form, id)
    except CloisterError as refused:
        problem = refused.reason.removeprefix("group-") if refused.reason else ""
        if problem not in BAD and refused.reason not in ("server", "group"):
            raise
        return await _page(request, id, typed=form, problem=problem if problem in BAD else "servers", status=422)
    return RedirectResponse(f"/console/groups?said={said}", status_code=303)


async def _set(request: Request, form: FormData, id: str) -> str:
    done = await asked(request, "set_group", id=id, **_words(form))
    return "made" if done["created"] else "changed"


async def _remove(request: Request, form: FormData, id: str) -> str:
    if str(form.get("sure", "")).strip() != id:
        raise Invalid("Type the group's name first.", reason="group-sure")
    await asked(request, "remove_group", id=id)
    return "removed"


async def _label(request: Request, form: FormData, id: str) -> str:
    await asked(request, "label_server", server=str(form.get("server", "")).strip()[:200], labels=_list(form, "labels"))
    return "labelled"


def _words(form: FormData) -> dict[str, Any]:
    """Of the whole form: what is empty there is empty in the group."""
    words: dict[str, Any] = {name: str(form.get(name, "")).strip() for name in TEXTS}
    words |= {name: _list(form, name) for name in LISTS if name != "roles"}
    words["roles"] = [str(one) for one in form.getlist("roles")]
    return words | {name: _number(str(form.get(name, "")).strip()) for name in NUMBERS}


def _list(form: FormData, name: str) -> list[str]:
    return str(form.get(name, ""))[:20_000].replace(",", " ").split()


def _number(text: str) -> int | str | None:
    """As it was typed where it is no number: the controller says what is wrong with it."""
    if not text:
        return None
    return int(text) if text.isdigit() and len(text) < 9 else text


async def _page(
    request: Request, id: str, *, said: str = "", problem: str = "", typed: FormData | None = None, status: int = 200
) -> Response:
    found = await asked(request, "groups")
    chosen = next((row for row in found["groups"] if row["id"] == id), None)
    shown = {**NEW, **(chosen or {}), **({"id": id, **_words(typed)} if typed is not None and typed.get("act") == "set" else {})}
    return Visit.of(request).page(
        "console-groups.html",
        status=status,
        nav="/console/groups",
        groups=found["groups"],
        labels=found["labels"],
        chosen=chosen,
        shown=shown,
        roles=sorted(role.value for role in Role),
        said=said,
        problem=problem,
    )


ROUTES: Final = (
    OfficeRoute("/console/groups", Page.CONSOLE, show_groups),
    OfficeRoute("/console/groups", Page.CONSOLE, act, ("POST",)),
)
