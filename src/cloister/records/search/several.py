"""A search across several resource types: one query for each, and what they have in common. Spec: http://hl7.org/fhir/R4/http.html#search.

Only what all the types know may be asked for: leaving it out for one of them would find everything of that type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from cloister.base.errors import Unsupported
from cloister.records.search.parse import parse
from cloister.records.search.query import Query

SORTED_BY: Final = ("_id", "_lastUpdated")  # of which every type has one value of one kind


def parse_types(types: Sequence[str], pairs: Iterable[tuple[str, str]], *, base: str = "", now: datetime | None = None) -> list[Query]:
    """A query for each type (at least one). Raises as `parse` does under strict handling, and Unsupported for another order than
    by id or time of change."""
    asked = list(pairs)
    queries = [parse(type, asked, strict=True, base=base, now=now) for type in dict.fromkeys(types)]
    if len(queries) > 1 and any(key.name not in SORTED_BY for key in queries[0].sort):
        hint = "Sort by _lastUpdated or _id, or search one type."
        raise Unsupported("Several types are not sorted by a parameter of one of them.", hint=hint, expression="_sort")
    return queries


def together(queries: Sequence[Query]) -> Query:
    """What holds for the result as a whole: its order, pages and company. Its type is empty where there are several; it matches nothing."""
    first, *others = queries
    if not others:
        return first
    includes = dict.fromkeys(one for query in queries for one in query.includes)
    elements = dict.fromkeys(name for query in queries for name in query.elements)
    return replace(first, type="", includes=tuple(includes), elements=tuple(elements))
