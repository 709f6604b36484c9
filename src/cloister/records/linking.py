"""Chains and reverse chains: what stands at the other end is searched first, as any search of this session.

Spec: http://hl7.org/fhir/R4/search.html#chaining, #has. Only what this session can open, and may read, is at the other
end; so what lies elsewhere is not told by what it points at, nor by what points at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cloister.base.errors import Invalid
from cloister.records.definitions import load
from cloister.records.finding import Finder
from cloister.records.lines import Line
from cloister.records.search import Chain, Pointed, Query, Tree
from cloister.records.search.pointing import names_the_record
from cloister.records.search.query import unmarked
from cloister.records.search.terms import Asked, term

CHAINED_MAX: Final = 2000  # references that one step may find
ABOUT: Final = frozenset({"patient", "subject"})  # what these point at from a patient's record is that patient

Found = tuple[bytes, Line]  # dossier, line


@dataclass(slots=True)
class Linked:
    """The references that each chain accepts; and the dossiers in which all matches are, where the chains tell."""

    targets: dict[Chain | Pointed | Tree, frozenset[str]] = field(default_factory=dict)
    confined: list[bytes] | None = None
    in_vain: bool = False  # one that must lead somewhere leads nowhere

    def confine(self, dossiers: Sequence[bytes]) -> None:
        """Every chain must hold, so matches are where all say."""
        if self.confined is not None:
            also = set(dossiers)
            self.confined = [one for one in self.confined if one in also]
        else:
            self.confined = list(dict.fromkeys(dossiers))


class Inner(Protocol):
    """A search inside another; `among`: where to look when the query itself does not tell."""

    async def inner(self, query: Query, among: Sequence[bytes] | None) -> list[Found]: ...

    def may_read(self, kind: str) -> bool: ...


def too_costly(query: Query) -> Invalid:
    return Invalid(
        f"This search for {query.type} would open too many records.",
        hint="Add a patient (patient=...), an identifier, or for open work a status and a place.",
        reason="too-costly",
    )


async def linked(query: Query, searcher: Inner, finder: Finder, among: Sequence[bytes] | None) -> Linked:
    """`among`: the dossiers in which the matches are, where the query tells without its chains."""
    found = Linked()
    for chain in query.chains:
        await _ahead(found, query, chain, searcher, finder, among)
    for one in query.filters:
        for chain in one.chains:
            await _ahead(found, query, chain, searcher, finder, among, needed=False)
    for tree in query.trees:
        found.targets[tree] = await _branch(query, tree, searcher)
    for pointed in query.pointed:
        await _behind(found, query, pointed, searcher, finder, among if found.confined is None else found.confined)
    return found


async def _branch(query: Query, tree: Tree, searcher: Inner) -> frozenset[str]:
    """The roots, and what is below or above them as far as this session can open it; what goes round ends by itself."""
    found, newest, type = set(tree.roots), sorted(set(tree.roots)), tree.link.type
    while newest and searcher.may_read(type):
        if tree.above:
            inner = Query(type=type, ids=frozenset(one.partition("/")[2] for one in newest))
            lines = [line for _, line in await searcher.inner(inner, None)]
            beside = {text for line in lines for text in unmarked(tree.link.values(line.entry.values)) if text.startswith(f"{type}/")}
        else:
            inner = Query(type=type, terms=(term(tree.link, tree.link.code, "", ",".join(newest), Asked()),))
            beside = {f"{type}/{line.entry.id}" for _, line in await searcher.inner(inner, None)}
        newest = sorted(beside - found)
        found |= beside
        if len(found) > CHAINED_MAX:
            raise too_costly(query)
    return frozenset(found)


async def _ahead(
    found: Linked, query: Query, chain: Chain, searcher: Inner, finder: Finder, among: Sequence[bytes] | None, *, needed: bool = True
) -> None:
    """What a chain's reference may point at; where it is not `needed` (one side of an `or`), it says nothing of where matches are."""
    about = chain.parameter.code in ABOUT and query.type in load().compartment
    sure = about and names_the_record(chain.parameter)
    references: list[str] = []
    dossiers: list[bytes] = []
    for inner in chain.queries:
        if searcher.may_read(inner.type):
            for dossier, line in await searcher.inner(inner, among if sure and inner.type == "Patient" else None):
                references.append(f"{inner.type}/{line.entry.id}")
                dossiers.append(dossier)
    if len(references) > CHAINED_MAX:
        raise too_costly(query)
    found.targets[chain] = frozenset(references)
    if not needed:
        return
    found.in_vain |= not references
    if about and all(one.startswith("Patient/") for one in references):
        found.confine(dossiers if sure else [*dossiers, *await finder.pointing(query.type, references)])


async def _behind(found: Linked, query: Query, pointed: Pointed, searcher: Inner, finder: Finder, among: Sequence[bytes] | None) -> None:
    """What is pointed at by what matches. What is about a patient lies in that patient's record, so it need not be looked for elsewhere."""
    inner, start = pointed.query, f"{query.type}/"
    references: set[str] = set()
    if searcher.may_read(inner.type):
        beside = query.type == "Patient" and pointed.parameter.code in ABOUT and names_the_record(pointed.parameter)
        for _, line in await searcher.inner(inner, among if beside else None):
            values = pointed.parameter.values(line.entry.values)
            references.update(one for one in values if isinstance(one, str) and one.startswith(start) and one.count("/") == 1)
    if len(references) > CHAINED_MAX:
        raise too_costly(query)
    found.targets[pointed] = frozenset(references)
    found.in_vain |= not references
    places = [(query.type, one.removeprefix(start)) for one in sorted(references)]
    located = await finder.locate(places) if places else {}
    found.confine([dossier for several in located.values() for dossier in several])
