"""Whether an index entry satisfies a query, and in which order those that do are given.

Spec: http://hl7.org/fhir/R4/search.html#modifiers, #sort, #include.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from cloister.records.search.entry import UNIT, IndexEntry
from cloister.records.search.query import Chain, Include, Kind, Query, SortKey, Targets, Tree, unmarked


def matches(query: Query, entry: IndexEntry, *, targets: Targets | None = None, undecided: bool = False) -> bool:
    """True if the entry satisfies every term. `targets` holds, for each chain, the references ('Patient/1') whose own
    resource matches, for each tree those of its branch, and for each `_has` those that are pointed at; without it a query
    with any of these matches nothing, so that a forgotten one cannot widen a result. Nor does a query match that asks for
    opened values (`decided`), unless the caller says by `undecided` that it will look at them."""
    if entry.type != query.type or (query.ids is not None and entry.id not in query.ids):
        return False
    for term in query.terms:
        if not term.test(entry) or (term.whole is not None and not undecided):
            return False
    for chain in query.chains:
        if not _points_into(chain, entry, targets):
            return False
    for tree in query.trees:
        if not _points_into(tree, entry, targets):
            return False
    if not all(one.test(entry, targets) for one in query.filters):
        return False
    return all(targets and f"{entry.type}/{entry.id}" in targets.get(one, ()) for one in query.pointed)


def _points_into(ahead: Chain | Tree, entry: IndexEntry, targets: Targets | None) -> bool:
    found = targets.get(ahead) if targets else None
    return found is not None and not found.isdisjoint(ahead.parameter.values(entry.values))


def decided(query: Query, resource: dict[str, Any]) -> bool:
    """The rest of `matches`, on the opened resource."""
    return all(term.whole is None or term.whole(resource) for term in query.terms)


def sorted_entries(query: Query, entries: Iterable[IndexEntry]) -> list[IndexEntry]:
    """The entries in the order of `_sort`, those without a value last; without `_sort` the most recently updated first."""
    ordered = sorted(entries, key=lambda entry: (-entry.updated, entry.id))
    for key in reversed(query.sort):  # sorts are stable, so the first key is applied last
        keyed = [(sort_value(key, entry), entry) for entry in ordered]
        have = [pair for pair in keyed if pair[0] is not None]
        have.sort(key=itemgetter(0), reverse=key.descending)
        ordered = [entry for _, entry in have] + [entry for value, entry in keyed if value is None]
    return ordered


def sort_value(key: SortKey, entry: IndexEntry) -> Any:
    """The lowest value when ascending, the highest when descending (search.html#sort); None when there is none."""
    if key.parameter is None:
        return entry.id if key.name == "_id" else entry.updated
    groups = {Kind.DATE: 2, Kind.NUMBER: 2, Kind.QUANTITY: 3}.get(key.parameter.kind)
    if groups is None:
        found: list[Any] = list(unmarked(key.parameter.values(entry.values)))
        if key.parameter.kind is Kind.STRING:  # case and accents do not count, so that the next key decides between equals
            found = [text.partition(UNIT)[0] for text in found]
    else:
        found = [value for place in key.parameter.places for value in entry.values.get(place, ())[::groups]]
    if not found:
        return None
    return max(found) if key.descending else min(found)


def included_by(include: Include, entry: IndexEntry) -> list[str]:
    """The references ('Type/id') that `_include` adds for this entry."""
    if include.reverse or entry.type != include.parameter.type:
        return []
    start = f"{include.target}/" if include.target else ""
    return [text for text in unmarked(include.parameter.values(entry.values)) if text.startswith(start) and text.count("/") == 1]


def pointed_at(include: Include, entry: IndexEntry, references: frozenset[str]) -> bool:
    """True if `_revinclude` adds this entry, because it points at one of the references."""
    if not include.reverse or entry.type != include.parameter.type:
        return False
    return not references.isdisjoint(include.parameter.values(entry.values))
