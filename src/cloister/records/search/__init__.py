"""Search: what is extracted from a resource, what a request asks, whether one matches the other.

Spec: http://hl7.org/fhir/R4/search.html. Everything here is pure: no row, no key, no clock.
Names used by the store: `extract`, `IndexEntry`, `parse`, `Query`, `matches`, `sorted_entries`, `patient_reference`.
"""

from cloister.records.search.compartment import patient_reference
from cloister.records.search.compile import extract, parameter, parameters, warm
from cloister.records.search.entry import IndexEntry, Values
from cloister.records.search.match import decided, included_by, matches, pointed_at, sorted_entries
from cloister.records.search.parse import parse, parse_url
from cloister.records.search.query import Chain, Include, Kind, Parameter, Pointed, Query, SortKey, Targets, Term, Tree
from cloister.records.search.several import parse_types, together

__all__ = [
    "Chain",
    "Include",
    "IndexEntry",
    "Kind",
    "Parameter",
    "Pointed",
    "Query",
    "SortKey",
    "Targets",
    "Term",
    "Tree",
    "Values",
    "decided",
    "extract",
    "included_by",
    "matches",
    "parameter",
    "parameters",
    "parse",
    "parse_types",
    "parse_url",
    "patient_reference",
    "pointed_at",
    "sorted_entries",
    "together",
    "warm",
]
