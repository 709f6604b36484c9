"""JSON Patch on a resource: RFC 6902, with JSON Pointers of RFC 6901. Pure; works on a value that it may change.

An error names the operation by its place in the patch and never repeats a value of the resource.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, ClassVar, Final

from cloister.base.errors import Invalid
from cloister.records.fhir.text import encode

OPERATIONS_MAX: Final = 1000
COPIED_BYTES_MAX: Final = 4 * 1024 * 1024  # a patch that copies its copies grows without bound otherwise
NEEDS: Final = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


class Unpatchable(Invalid):
    """The patch is well formed and does not fit this resource, or a test of it failed (HTTP 422)."""

    http_status: ClassVar[int] = 422


def apply(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """The document after all operations, in their order; it is changed in place, and worthless where this raises."""
    if not isinstance(operations, list) or len(operations) > OPERATIONS_MAX:
        hint = 'Send [{"op": "replace", "path": "/status", "value": "final"}].'
        raise Invalid(f"A JSON Patch is a list of at most {OPERATIONS_MAX} operations.", hint=hint, reason="json-patch")
    copied = 0
    for number, operation in enumerate(operations):
        place = f"[{number}]"
        name = _checked(operation, place)
        try:
            if name == "copy":
                copied += len(encode(_found(document, operation["from"], place)))
                if copied > COPIED_BYTES_MAX:
                    raise Invalid(
                        "This patch copies too much.", hint="Send the resource whole with PUT.", reason="too-costly", expression=place
                    )
            _apply(document, name, operation, place)
        except RecursionError:
            raise Invalid(
                "This patch is nested too deeply.", hint="Send something flatter.", reason="json-patch", expression=place
            ) from None
    return document


def _checked(operation: Any, place: str) -> str:
    name = operation.get("op") if isinstance(operation, dict) else None
    if not isinstance(name, str) or name not in NEEDS:
        raise _malformed("An operation of the patch is none of RFC 6902.", f"Use one of {', '.join(NEEDS)}.", f"{place}.op")
    for pointer in ("path", *(one for one in NEEDS[name] if one == "from")):
        text = operation.get(pointer)
        if not isinstance(text, str) or (text and not text.startswith("/")):
            raise _malformed(f"'{pointer}' is no JSON Pointer.", "Write it like /name/0/family.", f"{place}.{pointer}")
        if not text:
            raise _malformed(
                "A resource is not patched as a whole.", "Name an element; send a whole resource with PUT.", f"{place}.{pointer}"
            )
    if "value" in NEEDS[name] and "value" not in operation:
        raise _malformed(f"'{name}' has no value.", 'Add "value".', f"{place}.value")
    return name


def _apply(document: dict[str, Any], name: str, operation: dict[str, Any], place: str) -> None:
    path = operation["path"]
    match name:
        case "add":
            _add(document, path, copy.deepcopy(operation["value"]), place)
        case "remove":
            _remove(document, path, place)
        case "replace":
            _replace(document, path, copy.deepcopy(operation["value"]), place)
        case "test":
            if not same(_found(document, path, place), operation["value"]):
                raise Unpatchable("A test of this patch does not hold.", hint="Read the resource again.", reason="test", expression=place)
        case "copy":
            _add(document, path, copy.deepcopy(_found(document, operation["from"], place)), place)
        case "move":
            if path.startswith(operation["from"] + "/"):
                raise _malformed("An element is not moved into itself.", "Correct 'from' or 'path'.", place)
            _add(document, path, _remove(document, operation["from"], place), place)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON (RFC 6902, 4.6): numbers by their value, whatever their digits; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return Decimal(str(one)) == Decimal(str(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _parent(document: Any, path: str, place: str) -> tuple[Any, str]:
    """What holds the place that the pointer names, and the last step to it."""
    *steps, last = _steps(path)
    node = document
    for step in steps:
        node = _child(node, step, place)
    return node, last


def _found(document: Any, path: str, place: str) -> Any:
    node, last = _parent(document, path, place)
    return _child(node, last, place)


def _child(node: Any, step: str, place: str) -> Any:
    if isinstance(node, dict) and step in node:
        return node[step]
    if isinstance(node, list):
        return node[_index(step, len(node) - 1, place)]
    raise _absent(place)


def _index(step: str, highest: int, place: str) -> int:
    """RFC 6901, 4: digits without a leading zero."""
    if not step.isascii() or not step.isdigit() or (step[0] == "0" and len(step) > 1):
        raise _absent(place)
    if len(step) > 9 or int(step) > highest:
        raise _absent(place)
    return int(step)


def _add(document: Any, path: str, value: Any, place: str) -> None:
    node, last = _parent(document, path, place)
    if isinstance(node, dict):
        node[last] = value
    elif isinstance(node, list):
        node.insert(len(node) if last == "-" else _index(last, len(node), place), value)
    else:
        raise _absent(place)


def _remove(document: Any, path: str, place: str) -> Any:
    node, last = _parent(document, path, place)
    if isinstance(node, dict) and last in node:
        return node.pop(last)
    if isinstance(node, list):
        return node.pop(_index(last, len(node) - 1, place))
    raise _absent(place)


def _replace(document: Any, path: str, value: Any, place: str) -> None:
    node, last = _parent(document, path, place)
    if isinstance(node, dict) and last in node:
        node[last] = value
    elif isinstance(node, list):
        node[_index(last, len(node) - 1, place)] = value
    else:
        raise _absent(place)


def _absent(place: str) -> Unpatchable:
    return Unpatchable(
        "An operation of this patch names a place that is not there.",
        hint="Read the resource again; add what leads to the place first.",
        reason="no-such-place",
        expression=place,
    )


def _malformed(text: str, hint: str, place: str) -> Invalid:
    return Invalid(text, hint=hint, reason="json-patch", expression=place)
