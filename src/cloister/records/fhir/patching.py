"""A patch as a function from a resource to a resource, whichever form it was sent in; and what no patch may change.

Spec: http://hl7.org/fhir/R4/http.html#patch. In a bundle the patch is the entry's resource: Parameters, or a Binary of a JSON
Patch (http.html#transaction).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.records.fhir import fhirpath_patch, pointers
from cloister.records.fhir.text import decode

JSON_PATCH: Final = "application/json-patch+json"
OWN: Final = ("resourceType", "id")
IN_A_BUNDLE: Final = f"Send Parameters (FHIRPath Patch), or a Binary whose contentType is {JSON_PATCH}."

Patch = Callable[[dict[str, Any]], dict[str, Any]]


def of_parameters(parameters: dict[str, Any]) -> Patch:
    return lambda resource: fhirpath_patch.applied(resource, parameters)


def of_operations(operations: Any) -> Patch:
    return lambda resource: pointers.apply(resource, operations)


def of_entry(resource: Any) -> Patch:
    """The patch in an entry of a bundle."""
    type = resource.get("resourceType") if isinstance(resource, dict) else None
    if type == "Parameters":
        return of_parameters(resource)
    if type == "Binary" and resource.get("contentType") == JSON_PATCH:
        try:
            return of_operations(decode(base64.b64decode(str(resource.get("data", "")), validate=True)))
        except (binascii.Error, ValueError):
            raise Invalid("The patch in this Binary is not Base64.", hint=IN_A_BUNDLE, expression="resource.data") from None
    raise Invalid("This entry holds no patch.", hint=IN_A_BUNDLE, expression="resource")


def patched(raw: bytes, patch: Patch) -> dict[str, Any]:
    """The resource after the patch; raises Unpatchable where it is another resource then."""
    before = decode(raw)
    own = [before.get(name) for name in OWN]
    resource = patch(before)
    for name, value in zip(OWN, own, strict=True):
        if resource.get(name) != value:
            text = f"A patch does not change the {name}."
            raise pointers.Unpatchable(text, hint="Leave it as it is.", reason="own", expression=f"{own[0]}.{name}")
    if not isinstance(resource.get("meta", {}), dict):
        hint = "Leave meta.versionId and meta.lastUpdated to the server."
        raise Invalid("meta is not an object.", hint=hint, expression=f"{own[0]}.meta")
    return resource
