"""The official JSON schema of FHIR R4. Spec: http://hl7.org/fhir/R4/json.html.

It knows properties, types, codes of required bindings and the form of primitives. Its messages would repeat what was
sent, so the sentences here are our own.
"""

from __future__ import annotations

import functools
import itertools
import sys
from typing import Any, Final

import jsonschema_rs

from cloister.records.definitions import load
from cloister.records.validation.issues import ISSUES_MAX, Fault

DIALECT: Final = "http://json-schema.org/draft-06/schema#"
OPTIONS_SHOWN_MAX: Final = 12
DECIMAL_MAX: Final = sys.float_info.max  # what a search can compare; JSON and FHIR's schema let whole numbers have any length
FORMS: Final = {
    "date": "Write 2026, 2026-11 or 2026-11-22.",
    "dateTime": "Write 2026-11-22 or 2026-11-22T13:00:00+01:00; a time needs its zone.",
    "instant": "Write 2026-11-22T13:00:00.000+01:00.",
    "time": "Write 13:00:00.",
    "id": "1 to 64 of the characters A-Z a-z 0-9 - and point.",
    "code": "No blanks at the ends, no two blanks together.",
    "string": "At least one character that is no blank, and no control characters.",
    "markdown": "At least one character that is no blank, and no control characters.",
    "uri": "No blanks.",
    "url": "No blanks.",
    "canonical": "No blanks.",
    "oid": "Write urn:oid:1.2.250.1.",
    "uuid": "Write urn:uuid: and a UUID in lower case.",
}


@functools.cache
def _validator() -> Any:
    """One compiled schema for {type: resource} and {part: value}, so that what all share is held once (38 MB; one a type took 100).

    Regular expressions run in linear time, whatever is sent.
    """
    definitions = load()
    properties: dict[str, Any] = {type: {"$ref": f"#/definitions/{type}"} for type in definitions.types}
    for shape, definition in definitions.schema.items():
        properties[form_name(shape, many=False)] = one = {"$ref": f"#/definitions/{shape}"}
        properties[form_name(shape, many=True)] = {"type": "array", "items": one, "minItems": 1}
        for name, form in definition.get("properties", {}).items():
            if "$ref" not in form and "$ref" not in form.get("items", ()):
                properties[part_name(shape, name)] = {"$ref": f"#/definitions/{shape}/properties/{name}"}
    decimal = {**definitions.schema["decimal"], "minimum": -DECIMAL_MAX, "maximum": DECIMAL_MAX}
    whole = {"$schema": DIALECT, "properties": properties, "definitions": {**definitions.schema, "decimal": decimal}}
    return jsonschema_rs.validator_for(whole, pattern_options=jsonschema_rs.RegexOptions(), offline=True)


def is_valid(type: str, resource: dict[str, Any]) -> bool:
    return bool(_validator().is_valid({type: resource}))


def form_name(definition: str, *, many: bool) -> str:
    """What a value of a data type is called here, or a list of them."""
    return f"{definition} list" if many else f"{definition} value"


def part_name(shape: str, name: str) -> str:
    """What a property of a shape is called here whose form is its own, such as a code: Observation.status."""
    return f"{shape}.{name}"


def part_is_valid(part: str, value: Any) -> bool:
    return bool(_validator().is_valid({part: value}))


def faults(resource: dict[str, Any]) -> list[Fault]:
    """What the schema finds wrong with this resource, at most ISSUES_MAX."""
    found = itertools.islice(_validator().iter_errors({resource["resourceType"]: resource}), ISSUES_MAX)
    return [_fault(error) for error in found]


def _fault(error: Any) -> Fault:
    path = list(error.instance_path)[1:]
    kind = error.kind
    match type(kind).__name__.rpartition("_")[2]:
        case "AdditionalProperties":
            names = ", ".join(str(name)[:64] for name in kind.unexpected[:5])
            return Fault(path, "structure", "unknown-element", f"There is no element {names} here.", "Correct its name, or leave it out.")
        case "Required":
            return Fault([*path, str(kind.property)], "required", "required", "This element is missing.", "Add it.")
        case "Enum":
            options = ", ".join(str(option) for option in kind.options[:OPTIONS_SHOWN_MAX])
            return Fault(path, "code-invalid", "binding", "This is not one of the codes allowed here.", f"Use one of: {options}.")
        case "Const":
            return Fault(path, "value", "const", "This is not the value that must stand here.", "Correct it.")
        case "Pattern":
            form = FORMS.get(str(error.schema_path[-2]), "See the data type of this element.")
            return Fault(path, "value", "form", "This value does not have the form of its type.", form)
        case "MinItems":
            return Fault(path, "structure", "empty-array", "A list must not be empty.", "Leave the element out instead.")
        case "MinProperties":
            return Fault(path, "structure", "ele-1", "An element must not be empty.", "Leave it out instead.")
        case "Minimum" | "Maximum":
            return Fault(path, "value", "range", "This number is outside what its type allows.", "Correct it.")
        case _:
            return Fault(path, "structure", "type", "This is not of the type that this element has.", _wanted(kind))


def _wanted(kind: Any) -> str:
    wanted = ", ".join(sorted(str(name) for name in getattr(kind, "types", [])))
    return f"JSON {wanted} is wanted." if wanted else "See the definition of this element: one value, or a list of them."
