"""What the XML form of FHIR knows of a shape: its elements in their order, and which of them are attributes.

Spec: http://hl7.org/fhir/R4/xml.html. Made of the element tables, which stand in the order of the official definitions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from cloister.records.definitions import is_type, load

FHIR: Final = "http://hl7.org/fhir"
XHTML: Final = "http://www.w3.org/1999/xhtml"
RESOURCE: Final = "Resource"  # the kind of an element that holds a resource of any type
NARRATIVE: Final = "xhtml"
BOOLEAN: Final = "boolean"
DECIMAL: Final = "decimal"
NO_ELEMENT: Final = -1  # the place of the type's name, which is the outer element itself
INTEGERS: Final = frozenset({"integer", "unsignedInt", "positiveInt"})


@dataclass(frozen=True, slots=True)
class Element:
    """One property of a shape. `place` orders a property and its `_property` alike."""

    name: str
    kind: str
    many: bool
    place: int

    @property
    def primitive(self) -> bool:
        return self.kind[0].islower() and self.kind != NARRATIVE


@dataclass(frozen=True, slots=True)
class Shape:
    elements: dict[str, Element]  # by property
    attributes: tuple[str, ...]  # properties that are XML attributes: `id` of what is no resource, `url` of an Extension
    places: dict[str, int]  # of properties, and of their companions with '_'


@functools.cache
def shape(name: str) -> Shape:
    """Of a type, or of a backbone element inside one; KeyError for what is none."""
    fields = load().elements[name]["fields"]
    attributes: tuple[str, ...] = () if is_type(name) else ("id", "url") if name == "Extension" else ("id",)
    elements = {
        prop: Element(prop, row[0], bool(row[1]), place) for place, (prop, row) in enumerate(fields.items()) if prop not in attributes
    }
    places = {prop: one.place for prop, one in elements.items()}
    places |= {f"_{prop}": place for prop, place in places.items()}
    # ExampleScenario.instance has an element of the name 'resourceType', which is one like any other.
    return Shape(elements, attributes, places | {"resourceType": NO_ELEMENT} if is_type(name) else places)


# What a primitive may have besides its value: an id and extensions (datatypes.html#Element).
def companion() -> Shape:
    return shape("Element")
