"""What a resource points at: the literal references that its index entry has. Spec: http://hl7.org/fhir/R4/references.html#literal."""

from __future__ import annotations

import functools
from typing import Final

from cloister.records.definitions import load
from cloister.records.search.compile import parameter, parameters
from cloister.records.search.entry import Values
from cloister.records.search.query import Kind, Parameter

# Of a hospital, even where one of them names a patient.
REGISTER_KINDS: Final = frozenset({"Practitioner", "PractitionerRole", "Location", "Organization", "HealthcareService", "Device"})


def references(type: str, values: Values) -> dict[str, None]:
    """The literal references ('Type/id') that the index knows of a resource, each once, in the order of its parameters."""
    found: dict[str, None] = {}
    for place in _reference_places(type):
        for value in values.get(place, ()):
            if isinstance(value, str) and value.count("/") == 1:
                found[value] = None
    return found


def in_records(type: str) -> bool:
    """True for a type that lies in patients' records, perhaps besides the registers."""
    return type in _record_types()


@functools.cache
def _record_types() -> frozenset[str]:
    return frozenset(load().compartment) - REGISTER_KINDS


@functools.cache
def _reference_places(type: str) -> tuple[int, ...]:
    return tuple(sorted({place for known in parameters(type).values() if known.kind is Kind.REFERENCE for place in known.places}))


def names_the_record(known: Parameter) -> bool:
    """True if a patient at this parameter is always the one in whose record the resource lies: the first that the compartment
    names, and there can be no other beside."""
    (first, *_) = load().compartment.get(known.type, ()) or ("",)
    link = parameter(known.type, first) if first else None
    return link is not None and not known.many and known.places == link.places
