"""The extensions of a resource, each with what it stands on. Spec: http://hl7.org/fhir/R4/defining-extensions.html#context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cloister.records.definitions import is_type, load

Json = dict[str, Any]
Path = list[str | int]
QUANTITIES: Final = frozenset({"Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity"})
NAMES: Final = ("extension", "modifierExtension")


def extensions_of(resource: Json) -> Iterator[tuple[Path, Json, frozenset[str]]]:
    """Path, extension, and every name that a definition may have for the element it stands on."""
    type = str(resource.get("resourceType", ""))
    yield from _standing(resource, [], type, type)


def _standing(node: Any, path: Path, kind: str, dotted: str) -> Iterator[tuple[Path, Json, frozenset[str]]]:
    if isinstance(node, list):
        for number, one in enumerate(node):
            yield from _standing(one, [*path, number], kind, dotted)
        return
    if not isinstance(node, dict):
        return
    for name in NAMES:
        several = node.get(name, ())
        for number, one in enumerate(several if isinstance(several, list) else ()):
            if isinstance(one, dict):
                yield [*path, name, number], one, _names(kind, dotted)
    fields = load().elements.get(kind, {}).get("fields", {})
    for name, value in node.items():
        if name != "contained" and isinstance(value, dict | list):
            plain = name.removeprefix("_")
            inner = str(fields[plain][0]) if plain in fields else ""
            yield from _standing(value, [*path, name], inner, f"{dotted}.{plain}")


def _names(kind: str, dotted: str) -> frozenset[str]:
    """Patient.contact is that, a BackboneElement and an Element; Observation.valueAge is Observation.value[x], an Age and a Quantity."""
    names = {kind, dotted, "Element"}
    if is_type(kind):
        names |= {"Resource", "DomainResource"}
    if "." in kind:
        names.add("BackboneElement")
    if kind in QUANTITIES:
        names.add("Quantity")
    ending = kind[:1].upper() + kind[1:]
    if ending and dotted.endswith(ending):
        names.add(f"{dotted[: -len(ending)]}[x]")
    return frozenset(names)
