"""Invariants of profiles, evaluated by `fhirpathpy` (MIT) on expressions that were parsed when the profile was loaded.

Spec: http://hl7.org/fhirpath/N1, http://hl7.org/fhir/R4/fhirpath.html. What
needs another resource (resolve) is not fetched, and so not told.
"""

from __future__ import annotations

from typing import Any, Final

import fhirpathpy
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from cloister.base.telemetry import log
from cloister.records.profiles.binding import bound
from cloister.records.profiles.rules import Constraint
from cloister.records.terminology import shelf
from cloister.records.terminology.valuesets import Member

Json = dict[str, Any]


def warm() -> None:
    """Evaluate once, so that nothing is left to be imported."""
    parsed = fhirpathpy.parse("name.exists() implies name.where(family.exists()).count() >= 0")
    holds(Constraint("warm", True, "", parsed), {"resourceType": "Patient"}, "Patient", {"resourceType": "Patient"})


def holds(constraint: Constraint, value: Any, path: str, resource: Json) -> bool | None:
    """Whether an invariant holds for an element; None when it cannot be told (an expression that this engine does not evaluate)."""
    if constraint.parsed is None:
        return None
    context = {"resource": resource, "rootResource": resource}
    options = {"userInvocationTable": FUNCTIONS}
    try:
        node = ResourceNode.create_node(value, path)
        found = fhirpathpy.apply_parsed_path(node, constraint.parsed, context, models["r4"], options)
    except _Untold:
        return None
    except Exception as fault:  # edge: whatever an expression of somebody else's makes the library raise
        log("fhirpath.not_evaluated", level="warning", key=constraint.key[:64], why=type(fault).__name__)
        return None
    return bool(found != [False])


class _Untold(Exception):
    """What an expression asks cannot be told here, so neither can what it says."""


def _resolve(values: list[Any]) -> list[Any]:
    """Nothing is fetched while a resource is checked."""
    raise _Untold


def _member_of(values: list[Any], address: str) -> list[bool]:
    found = [bound(shelf.value_sets(), address, getattr(one, "data", one)) for one in values]
    if Member.UNKNOWN in found:
        raise _Untold
    return [one is Member.YES for one in found]


FUNCTIONS: Final = {
    "resolve": {"fn": _resolve, "arity": {0: []}},
    "memberOf": {"fn": _member_of, "arity": {1: ["String"]}},
}
