"""A resource as it may be sent: the French national number (INS) only along with the qualified identity and its strict traits.

Référentiel Identifiant national de santé (validation/ins.py). Writes are held to it since that rule is here; what was stored before, a
part of a patient (`_elements`, `_summary`), and people who have no identity status of their own are held to it here.
A resource that speaks of no such number costs one search in its bytes.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.records.fhir.text import encode
from cloister.records.stored import Stored
from cloister.records.validation import ins

MARK: Final = ins.ROOT.encode()
NAMED: Final = frozenset({"RelatedPerson", "Person"})  # people with identifiers, and nowhere to say that the identity is qualified


def outgoing(stored: Stored) -> bytes:
    """The bytes of the resource, as they may go out."""
    if MARK not in stored.raw or stored.resource is None:
        return stored.raw
    resource = as_sent(stored.resource)
    return stored.raw if resource is stored.resource else encode(resource)


def as_sent(resource: dict[str, Any]) -> dict[str, Any]:
    """The same resource where nothing is withheld."""
    type = resource.get("resourceType")
    found = ins.without_number(resource) if type == "Patient" else _without(resource) if type in NAMED else resource
    inside = found.get("contained")
    if inside:
        now = [as_sent(one) for one in inside]
        if any(one is not was for one, was in zip(now, inside, strict=True)):
            found = found | {"contained": now}
    return found


def _without(resource: dict[str, Any]) -> dict[str, Any]:
    if not any(one.get("system") in ins.NUMBERS for one in resource.get("identifier", ())):
        return resource
    kept = [one for one in resource["identifier"] if one.get("system") not in ins.NUMBERS]
    rest = {name: value for name, value in resource.items() if name != "identifier"}
    return rest | {"identifier": kept} if kept else rest
