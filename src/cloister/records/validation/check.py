"""One resource, checked. Spec: http://hl7.org/fhir/R4/validation.html."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from cloister.records.definitions import is_type
from cloister.records.validation import schema
from cloister.records.validation.issues import ISSUES_MAX, Fault, InvalidResource, Issue, issue_of
from cloister.records.validation.walk import walkers

LOCAL: Final = re.compile(rb'"#([A-Za-z0-9\-.]{1,64})"').findall
REFERRED: Final = re.compile(rb'"reference":"#([^"\\]+)"').findall
DEPTH_HINT: Final = "Resources are not nested this deeply; send something flatter."


def check(resource: dict[str, Any]) -> None:
    """Returns if this is a valid R4 resource; raises InvalidResource with every fault found otherwise."""
    issues = issues_of(resource)
    if issues:
        raise InvalidResource(issues)


def issues_of(resource: Any, *, where: str = "") -> list[Issue]:
    """Every fault of a resource, in no time when there is none. `where` it stands: Bundle.entry[3].resource; else its type."""
    try:
        found = faults_of(resource, inside=False)
    except (RecursionError, ValueError):  # the schema's own bound on depth is a ValueError
        found = [Fault([], "too-long", "depth", "This resource is nested too deeply.", DEPTH_HINT)]
    if not found:
        return []
    type = resource.get("resourceType") if isinstance(resource, dict) else None
    root = where or (type if isinstance(type, str) and is_type(type) else "Resource")
    return [issue_of(root, fault) for fault in found[:ISSUES_MAX]]


def faults_of(resource: Any, *, inside: bool) -> list[Fault]:
    """Every fault of a resource; `inside` another one it needs an id when contained, and must not contain.

    What is asked here is asked in shapes.py too, an element at a time.
    """
    if not isinstance(resource, dict):
        return [Fault([], "structure", "type", "A resource is a JSON object.", "Send an object with a resourceType.")]
    type = resource.get("resourceType")
    if not isinstance(type, str) or not is_type(type):
        hint = "Mind upper and lower case: Patient, Observation."
        return [Fault(["resourceType"], "value", "resource-type", "This is no resource type of FHIR R4.", hint)]
    if not schema.is_valid(type, resource):
        return schema.faults(resource)
    found: list[Fault] = []
    walkers()[type].walk(resource, found)
    if "contained" in resource:
        contained_faults(resource, found, inside=inside)
        if not found and not inside:
            local_faults(resource, found)
    return found


def local_faults(resource: dict[str, Any], found: list[Fault]) -> None:
    """ref-1 and the other half of dom-3, of a resource that contains others: what a reference '#id' names is contained, and what is
    contained is named, or names its container ('#'). Looked for in the JSON: a walk through all of it takes three times as long."""
    parts = resource["contained"]
    body = orjson.dumps(resource, default=str)
    named = set(LOCAL(body))  # by whatever may name: a canonical address, uri or url cannot be told from a text here
    for number, part in enumerate(parts):
        if str(part.get("id")).encode() not in named and b'"#"' not in orjson.dumps(part, default=str):
            text = "Nothing in the resource refers to this contained resource."
            found.append(Fault(["contained", number], "invariant", "dom-3", text, "Refer to it as # and its id, or leave it out."))
    if not {name.decode() for name in REFERRED(body)} <= {part.get("id") for part in parts}:
        text = "A reference names a contained resource that is not here."
        found.append(Fault([], "invariant", "ref-1", text, "Contain a resource with the id after its #, or refer to another."))


def warm() -> None:
    """Compile everything. The zygote calls this once, so that all sessions share the result."""
    walkers()
    schema.is_valid("Patient", {})


def contained_faults(resource: dict[str, Any], found: list[Fault], *, inside: bool) -> None:
    """dom-2 to dom-5: http://hl7.org/fhir/R4/domainresource.html#invs."""
    if inside:
        found.append(Fault(["contained"], "invariant", "dom-2", "A contained resource contains no other.", "Contain it at the top."))
    for number, part in enumerate(resource["contained"]):
        meta = part.get("meta", {})
        if "versionId" in meta or "lastUpdated" in meta:
            text = "A contained resource has no version of its own."
            found.append(Fault(["contained", number, "meta"], "invariant", "dom-4", text, "Leave out versionId and lastUpdated."))
        if "id" not in part:
            text = "A contained resource has an id, by which it is referred to."
            found.append(Fault(["contained", number, "id"], "required", "dom-3", text, "Add an id."))
