"""`_include` and `_revinclude`: what a page brings along, only from what this session can open and may read.

Spec: http://hl7.org/fhir/R4/search.html#include, #iterate. What is not open here is silently absent, as a dangling
reference is. What points at a part of a patient's record is looked for in that record; what points at an entry of a
register, such as a practitioner, by a search of its own. What would go on beyond the bounds is refused, not cut short.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from cloister.base.errors import Invalid
from cloister.records.dossier import Dossier
from cloister.records.dossiers import Dossiers
from cloister.records.finding import Finder
from cloister.records.lines import Line
from cloister.records.linking import Found
from cloister.records.search import Include, Query, included_by, pointed_at
from cloister.records.search.terms import Asked, term

INCLUDED_MAX: Final = 2000
REGISTER: Final = "register"
ROUNDS_MAX: Final = 8  # of :iterate
POINTED_AT_ONCE: Final = 100

Pair = tuple[Dossier, Line]
Search = Callable[[Query], Awaitable[list[Found]]]


async def include(
    query: Query, pairs: Sequence[Pair], opened: Dossiers, finder: Finder, may_read: Callable[[str], bool], search: Search
) -> list[Pair]:
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
                    found.extend(await _pointing(one, [pair for pair in newest if pair[0].kind != REGISTER], opened, finder))
                    found.extend(await _pointing_at_register(one, [pair for pair in newest if pair[0].kind == REGISTER], opened, search))
                continue
            for dossier, line in newest:
                for reference in included_by(one, line.entry):
                    wanted.setdefault(reference, dossier)
        allowed = {type for type in {text.partition("/")[0] for text in wanted} if may_read(type)}
        found.extend(
            await _resolved({text: dossier for text, dossier in wanted.items() if text.partition("/")[0] in allowed}, opened, finder)
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
            return added
    hint = f"At most {ROUNDS_MAX} steps of ':iterate' are followed; follow the rest by a search of its own."
    raise Invalid("This search would go on for too many steps.", hint=hint, reason="too-costly")


async def _pointing_at_register(one: Include, pairs: Sequence[Pair], opened: Dossiers, search: Search) -> list[Pair]:
    found: list[Pair] = []
    references = [f"{line.entry.type}/{line.entry.id}" for _, line in pairs]
    for start in range(0, len(references), POINTED_AT_ONCE):
        asked = ",".join(references[start : start + POINTED_AT_ONCE])
        pointing = await search(Query(type=one.parameter.type, terms=(term(one.parameter, one.parameter.code, "", asked, Asked()),)))
        dossiers = await opened.open([dossier for dossier, _ in pointing])
        found.extend((dossiers[dossier], line) for dossier, line in pointing if dossier in dossiers)
    return found


async def _pointing(one: Include, pairs: Sequence[Pair], opened: Dossiers, finder: Finder) -> list[Pair]:
    """What points at these from the same record, and what has a token that says so from another."""
    found = list(_beside(one, pairs))
    references = frozenset(f"{line.entry.type}/{line.entry.id}" for _, line in pairs)
    there = {dossier.id for dossier, _ in pairs}
    others = [id for id in await finder.pointing(one.parameter.type, sorted(references)) if id not in there] if pairs else []
    for dossier in (await opened.open(others, fresh=True)).values():
        found.extend((dossier, line) for line in dossier.current(one.parameter.type) if pointed_at(one, line.entry, references))
    return found


def _beside(one: Include, pairs: Sequence[Pair]) -> Iterable[Pair]:
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
