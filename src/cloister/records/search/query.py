"""A parsed search: what must hold, how results are ordered, paged and accompanied.

Spec: http://hl7.org/fhir/R4/search.html. A query is pure data with one compiled test a term;
it never touches a row. `parse` (parse.py) makes it, `matches` (match.py) applies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cloister.records.search.entry import RECORD, IndexEntry, Value, Values

COUNT_DEFAULT: Final = 50
COUNT_MAX: Final = 1000

Test = Callable[[IndexEntry], bool]
Whole = Callable[[dict[str, Any]], bool]


class Kind(StrEnum):
    """http://hl7.org/fhir/R4/valueset-search-param-type.html"""

    TOKEN = "token"
    REFERENCE = "reference"
    STRING = "string"
    URI = "uri"
    DATE = "date"
    QUANTITY = "quantity"
    NUMBER = "number"
    COMPOSITE = "composite"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type. `places` are where its values stand in `IndexEntry.values`."""

    type: str
    code: str
    kind: Kind
    places: tuple[int, ...]
    targets: tuple[str, ...] = ()  # types that a reference may point at; empty: any
    only: str = ""  # of the references at these places, this parameter sees those to this type (`patient`)
    plain: bool = False  # a token whose values have no system of their own (code, boolean, string)
    many: bool = False  # a resource may have several values
    canonical: bool = False  # values are canonical addresses, which may end in |version
    # Of a token with texts beside its codes (`:text`): those of an opened resource; no index has them.
    texts: Callable[[dict[str, Any]], list[Value]] | None = None
    parts: tuple[Parameter, ...] = ()  # of a composite: its components, by the places where the index has their values
    # Of a composite whose elements repeat: the values of each element by itself, which only the opened resource tells.
    elements: Callable[[dict[str, Any]], list[Values]] | None = None

    def values(self, values: Values) -> Iterator[Value]:
        """This parameter's values in an index entry; markers (`:of-type`, `:identifier`) included."""
        for place in self.places:
            found = values.get(place)
            if found:
                if self.only:
                    yield from (v for v in found if isinstance(v, str) and (v.startswith(self.only) or f"/{self.only}" in v))
                else:
                    yield from found


@dataclass(frozen=True, slots=True)
class Term:
    """One search parameter of a request. Its values are alternatives (or), the terms of a query add up (and)."""

    name: str  # as sent, with its modifier
    parameter: Parameter | None  # None: what stands outside `values` (_lastUpdated, _text, _content)
    modifier: str
    values: tuple[str, ...]  # as sent
    # The strings of an entry's values of which one must be there, where the term is an exact comparison (a token with its
    # system or of a plain parameter, a reference with type and id, a uri): what blind tokens can prune by. Else None.
    exact: tuple[str, ...] | None
    # For a token without system: 0x1F code, one of which a value may also end in. With `exact` it covers all alternatives.
    ends: tuple[str, ...]
    test: Test
    # For what an index entry alone cannot decide: the test of the opened resource, after `test` has let its entry pass.
    whole: Whole | None = None
    # Of a name or an address: what a matching value contains, one of these; empty where it cannot be told.
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A condition on what a reference points at: `patient.name=lopez`. A target matches if the query of its own type
    does, which may have chains itself; resolve those first, then pass the references found to `matches`."""

    name: str
    parameter: Parameter
    queries: tuple[Query, ...]  # one for each type that the reference may point at


@dataclass(frozen=True, slots=True)
class Pointed:
    """A condition on what points at a resource (search.html#has): `_has:Observation:patient:code=x`, `_list=42`. Resolve
    it first, as a chain: what `parameter` of each resource found refers to may match."""

    name: str
    parameter: Parameter  # of the type that points
    query: Query


@dataclass(frozen=True, slots=True)
class Tree:
    """A condition on a place in a hierarchy (search.html, "Searching hierarchies"): `location:below=42` is 42 and whatever
    is part of it, `:above` is 42 and whatever it is part of. Resolve it first, as a chain."""

    name: str
    parameter: Parameter
    roots: tuple[str, ...]  # 'Location/42'
    link: Parameter  # of the type of the roots: which one it is part of
    above: bool


Targets = Mapping[Chain | Pointed | Tree, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """One part of a `_filter` (search_filter.html). `chains` are resolved as others are, and need not find anything."""

    node: object  # what was asked, so that equal filters are equal
    holds: Callable[[IndexEntry, Targets], bool] = field(compare=False)
    chains: tuple[Chain, ...] = field(compare=False, default=())

    def test(self, entry: IndexEntry, targets: Targets | None) -> bool:
        """False without the targets of its chains, so that a forgotten one cannot widen a result, not even by 'not'."""
        known: Targets = targets or {}
        return all(chain in known for chain in self.chains) and self.holds(entry, known)


@dataclass(frozen=True, slots=True)
class SortKey:
    parameter: Parameter | None  # None: _id or _lastUpdated
    name: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=Observation:encounter`, or `_revinclude` when `reverse`. `parameter.type` is the source type."""

    parameter: Parameter
    target: str  # a type name, or empty for any
    reverse: bool
    iterate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What one search asks for. Frozen, so that a page's token may keep it."""

    type: str
    terms: tuple[Term, ...] = ()
    chains: tuple[Chain, ...] = ()
    pointed: tuple[Pointed, ...] = ()
    filters: tuple[Filter, ...] = ()
    trees: tuple[Tree, ...] = ()
    sort: tuple[SortKey, ...] = ()  # empty: most recently updated first
    count: int = COUNT_DEFAULT
    includes: tuple[Include, ...] = ()
    total: str = "accurate"  # none | estimate | accurate
    summary: str = "false"  # true | text | data | count | false
    elements: tuple[str, ...] = ()
    ids: frozenset[str] | None = None  # of `_id`, where given
    ignored: tuple[str, ...] = ()  # parameters left out under lenient handling
    applied: tuple[tuple[str, str], ...] = ()  # what was understood, for the self link

    @property
    def undecided(self) -> bool:
        """True when what the index lets pass must be opened to be decided."""
        return any(term.whole is not None for term in self.terms)

    def term(self, code: str) -> Term | None:
        """The first term on this parameter without a modifier, or with a type as its modifier."""
        for term in self.terms:
            if term.parameter is not None and term.parameter.code == code and (not term.modifier or term.modifier[0].isupper()):
                return term
        return None

    def patients(self) -> tuple[str, ...] | None:
        """The patients ('Patient/id') that this search is confined to, or None: then it goes across charts."""
        if self.type == "Patient":
            return tuple(f"Patient/{id}" for id in sorted(self.ids)) if self.ids is not None else None
        for code in ("patient", "subject"):
            term = self.term(code)
            if term is not None and term.exact and all(reference.startswith("Patient/") for reference in term.exact):
                return term.exact
        return None


def unmarked(values: Iterator[Value]) -> Iterator[str]:
    """The textual values that are no marker."""
    return (value for value in values if isinstance(value, str) and not value.startswith(RECORD))
