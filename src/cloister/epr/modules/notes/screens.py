"""The list of notes, one note, and the form for a new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.epr.kit.bedside import Bedside, open_bedside
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.module import Event, Resources
from cloister.epr.kit.visit import Visit, go
from cloister.epr.modules.notes.model import TYPES, Note, current_encounter, document, note_of, notes_of

NEEDS: Final = {"DocumentReference": 1000, "Composition": 500}
CARD_NOTES: Final = 6


def title_of(note: Note, visit: Visit) -> str:
    return visit.words.or_else(f"notes.type.{note.type_code}", note.type_text or visit.word("notes.note"))


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    notes = notes_of(resources)
    return {"notes": [(note, title_of(note, visit)) for note in notes[:CARD_NOTES]], "total": len(notes)}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for note in notes_of(resources):
        detail = " · ".join(part for part in (note.author, note.preview) if part)
        yield Event(kind="notes", at=note.at, title=title_of(note, visit), detail=detail, href=f"/notes/{note.kind}/{note.id}")


async def show_notes(request: Request) -> Response:
    bedside = await open_bedside(request, NEEDS)
    notes = [(note, title_of(note, bedside.visit)) for note in notes_of(bedside.resources)]
    return bedside.page("notes/list.html", tab="/notes", notes=notes)


async def show_note(request: Request) -> Response:
    bedside = await open_bedside(request, NEEDS)
    kind, wanted = request.path_params["kind"], request.path_params["note"]
    for resource in bedside.resources.get(kind, ()) if kind in NEEDS else ():
        if resource.get("id") == wanted:
            note = note_of(resource)
            return bedside.page("notes/note.html", tab="/notes", note=note, title=title_of(note, bedside.visit))
    raise NotFound(bedside.visit.word("notes.gone"), hint=bedside.visit.word("notes.gone-hint"))


async def new_note(request: Request) -> Response:
    bedside = await open_bedside(request, {"DocumentReference": 3})
    return _drawn(bedside, empty_form(bedside.visit.words))


async def save_note(request: Request) -> Response:
    bedside = await open_bedside(request, {"DocumentReference": 3, "Encounter": 100})
    visit = bedside.visit
    form = await read_form(request, visit.words)
    code = form.choice("type", _types(visit))
    title = form.line("title", needed=False, longest=200)
    text = form.text("text")
    if form.good:
        made = document(
            bedside.id,
            code=code,
            type_text=visit.word(f"notes.type.{code}"),
            title=title,
            text=text,
            author=visit.actor.name,
            language=visit.words.language,
            encounter=current_encounter(bedside.resources.get("Encounter", ())),
            now=visit.now,
        )
        try:
            await bedside.chart.write(made)
            return go(bedside.path("?saved=notes"))
        except (Invalid, Conflict) as refused:
            form.refused = refused
    return _drawn(bedside, form)


def _types(visit: Visit) -> tuple[str, ...]:
    return TYPES.get(visit.actor.role, ())


def _drawn(bedside: Bedside, form: Form) -> Response:
    """Beside the form stand the last notes, because one writes looking at them."""
    recent = [(note, title_of(note, bedside.visit)) for note in notes_of(bedside.resources)[:3]]
    return bedside.page("notes/new.html", form=form, types=_types(bedside.visit), recent=recent, status=200 if form.good else 422)
