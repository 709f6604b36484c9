"""Terminology and profiles that lie in the registers of a session: a question is asked again with what was absent laid over it.

What is loaded for the whole trust goes first (library.py). Only what this session can open and may read is found, so the same
question may have another answer, or none, for somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from cloister.base.errors import Denied, Invalid, NotFound
from cloister.records.search import Query, parse
from cloister.records.stored import Page
from cloister.records.terminology import shelf
from cloister.records.terminology.library import Absent, Library, version_key
from cloister.records.terminology.pack import pack_of
from cloister.records.terminology.valuesets import ValueSets

FETCHED_MAX: Final = 30
FOUND_MAX: Final = 50

Answer = TypeVar("Answer")


class Searches(Protocol):
    """The part of a session's records that is needed here."""

    async def search(self, query: Query) -> Page: ...


async def answered(records: Searches, question: Callable[[ValueSets], Answer]) -> Answer:
    """What the question gives; raises Absent when something it needs is neither loaded nor in a register."""
    value_sets = shelf.value_sets()
    fetched: dict[tuple[str, str], dict[str, Any]] = {}
    while True:
        try:
            return question(value_sets)
        except Absent as absent:
            key = (absent.kind, absent.canonical)
            found = await registered(records, *key) if key not in fetched else None
            if found is None:
                raise
            if len(fetched) >= FETCHED_MAX:
                text = f"This needs more than {FETCHED_MAX} definitions of your register."
                raise Invalid(text, hint="Have them loaded with 'cloister terminology load'.", reason="too-costly") from None
            fetched[key] = found
            value_sets = ValueSets(Library([pack_of(fetched.values(), "register")], below=shelf.library()))


async def registered(records: Searches, kind: str, canonical: str) -> dict[str, Any] | None:
    """The definition of this address in the registers that the session can open; of several versions the highest."""
    url, _, version = canonical.partition("|")
    pairs = [("url", url.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")), ("_count", str(FOUND_MAX))]
    try:
        page = await records.search(parse(kind, pairs))
    except (Denied, NotFound):
        return None
    bodies = [hit.stored.resource for hit in page.hits if hit.stored.resource is not None]
    fitting = [one for one in bodies if not version or one.get("version") == version]
    return max(fitting, key=lambda one: version_key(str(one.get("version", ""))), default=None)
