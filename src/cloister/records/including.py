"""`_include` and `_revinclude`: what a page brings along, only from what this session can open and may read.

Spec: http://hl7.org/fhir/R4/search.html#include. What is not open here is silently absent, as a dangling reference is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cloister.base.errors import Invalid
from cloister.records.dossier import Dossier
from cloister.records.dossiers import Dossiers
from cloister.records.finding import Finder
from cloister.records.lines import Line
from cloister.records.search import Include, Query, included_by, pointed_at

INCLUDED_MAX: Final = 2000
ROUNDS_MAX: Final = 4  # of :iterate

Pair = tuple[Dossier, Line]


async def include(query: Query, pairs: Sequence[Pair], opened: Dossiers, finder: Finder, may_read: Callable[[str], bool]) -> list[Pair]:
    """The further resources, each once, none that is a match itself."""
    seen = {(dossier.id, line.entry.type, line.entry.id) for dossier, line in pairs}
    added: list[Pair] = []
    newest: Sequence[Pair] = pairs
    for round in range(ROUNDS_MAX):
        includes = [one for one in query.includes if round == 0 or one.iterate]
        found: list[Pair] = []
        wanted: dict[str, Dossier] = {}
        for one in includes:
            if one.reverse:
                if may_read(one.parameter.type):
                    found.extend(_pointing(one, newest))
                continue
            for dossier, line in newest:
                for reference in included_by(one, line.entry):
                    wanted.setdefault(reference, dossier)
        found.extend(
            await _resolved({text: dossier for text, dossier in wanted.items() if may_read(text.partition("/")[0])}, opened, finder)
        )
        fresh = []
        for dossier, line in found:
            place = (dossier.id, line.entry.type, line.entry.id)
            if place not in seen:
                seen.add(place)
                fresh.append((dossier, line))
        added.extend(fresh)
        newest = fresh
        if len(added) > INCLUDED_MAX:
            raise Invalid("This search would bring too much along.", hint="Ask for fewer with _count.", reason="too-costly")
        if not fresh:
            break
    return added


def _pointing(one: Include, pairs: Sequence[Pair]) -> Iterable[Pair]:
    by_dossier: dict[bytes, tuple[Dossier, set[str]]] = {}
    for dossier, line in pairs:
        by_dossier.setdefault(dossier.id, (dossier, set()))[1].add(f"{line.entry.type}/{line.entry.id}")
    for dossier, references in by_dossier.values():
        wanted = frozenset(references)
        for line in dossier.current(one.parameter.type):
            if pointed_at(one, line.entry, wanted):
                yield dossier, line


async def _resolved(wanted: dict[str, Dossier], opened: Dossiers, finder: Finder) -> list[Pair]:
    """Each reference's resource: in the same dossier, in a register, or wherever this session can open it."""
    found: list[Pair] = []
    elsewhere: list[tuple[str, str]] = []
    for reference, dossier in wanted.items():
        type, _, id = reference.partition("/")
        line = dossier.lines(type).get(id)
        if line is None:
            elsewhere.append((type, id))
        elif not line.deleted:
            found.append((dossier, line))
    located = await finder.locate(elsewhere) if elsewhere else {}
    others = await opened.open([several[0] for several in located.values()], fresh=True)
    for (type, id), several in located.items():
        other = others.get(several[0])
        line = other.lines(type).get(id) if other is not None else None
        if other is not None and line is not None and not line.deleted:
            found.append((other, line))
    return found
