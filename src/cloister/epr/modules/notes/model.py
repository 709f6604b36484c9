"""A note's text in a DocumentReference attachment (http://hl7.org/fhir/R4/documentreference.html), or in a Composition's sections."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any, Final

from cloister.epr.kit.fhir import LOINC, code_of, dig, display_of, each, newest_first, text_of, when
from cloister.epr.kit.module import Resource, Resources
from cloister.epr.kit.moment import Moment

# LOINC document codes that are offered, by role; words for them are in the catalogue, `notes.type.<code>`.
TYPES: Final = {
    "doctor": ("11506-3", "34117-2", "11488-4", "18842-5", "34111-5"),
    "nurse": ("34746-8",),
}
PREVIEW_CHARACTERS: Final = 180
NOTE_BYTES_MAX: Final = 400_000
_TAG: Final = re.compile(r"<[^>]*>")
_BREAK: Final = re.compile(r"</(p|div|li|tr|h[1-6])>|<br\s*/?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    kind: str  # DocumentReference or Composition
    id: str
    type_code: str
    type_text: str
    title: str
    author: str
    at: Moment
    status: str
    text: str
    media: str  # of an attachment that is not text

    @property
    def preview(self) -> str:
        line = " ".join(self.text.split())
        return line if len(line) <= PREVIEW_CHARACTERS else line[:PREVIEW_CHARACTERS].rsplit(" ", 1)[0] + " …"


def note_of(resource: Resource) -> Note:
    composed = resource.get("resourceType") == "Composition"
    attachment = dig(resource, "content", 0, "attachment") or {}
    title = str(resource.get("title") or "") if composed else str(attachment.get("title") or resource.get("description") or "")
    type_text = text_of(resource.get("type"))
    media = "" if composed else str(attachment.get("contentType") or "text/plain")
    readable = composed or media.startswith("text/")
    return Note(
        kind=str(resource.get("resourceType")),
        id=str(resource.get("id") or ""),
        type_code=code_of(resource.get("type"), LOINC),
        type_text=type_text,
        title="" if title == type_text else title,
        author=", ".join(text for text in map(display_of, each(resource, "author")) if text),
        at=when(resource),
        status=str(resource.get("status") or ""),
        text=(_sections(resource) if composed else _text(attachment, media)) if readable else "",
        media="" if readable else media,
    )


def _text(attachment: Resource, media: str) -> str:
    try:
        body = base64.b64decode(str(attachment.get("data") or "")[: 2 * NOTE_BYTES_MAX], validate=False)
    except (binascii.Error, ValueError):
        return ""
    text = body.decode("utf-8", errors="replace")
    return _plain(text) if media.startswith("text/html") else text.strip()


def _sections(resource: Resource) -> str:
    parts = []
    for section in each(resource, "section"):
        parts.append("\n".join(text for text in (str(section.get("title") or ""), _plain(str(dig(section, "text", "div") or ""))) if text))
    return "\n\n".join(part for part in parts if part)


def _plain(html: str) -> str:
    """Narrative as plain text: shown escaped, so no mark-up of a note ever reaches the browser as mark-up."""
    text = unescape(_TAG.sub("", _BREAK.sub("\n", html)))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def notes_of(resources: Resources) -> list[Note]:
    both = [*resources.get("DocumentReference", ()), *resources.get("Composition", ())]
    return [note for note in map(note_of, newest_first(both)) if note.status != "entered-in-error"]


def document(
    patient: str, *, code: str, type_text: str, title: str, text: str, author: str, language: str, encounter: str, now: datetime
) -> dict[str, Any]:
    """A new note. The text travels inside, so it is sealed with the record and has no file of its own."""
    at = now.isoformat(timespec="milliseconds")
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": LOINC, "code": code, "display": type_text}], "text": type_text},
        "subject": {"reference": f"Patient/{patient}"},
        "date": at,
        "author": [{"display": author}],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "language": language,
                    "data": base64.b64encode(text.encode()).decode("ascii"),
                    "title": title or type_text,
                    "creation": at,
                }
            }
        ],
    } | ({"context": {"encounter": [{"reference": f"Encounter/{encounter}"}]}} if encounter else {})


def current_encounter(encounters: Iterable[Resource]) -> str:
    """The id of the stay that goes on, for the note's context; nothing when there is none."""
    for encounter in newest_first(encounters):
        if encounter.get("status") in ("in-progress", "arrived", "triaged"):
            return str(encounter.get("id") or "")
    return ""
