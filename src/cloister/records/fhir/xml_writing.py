"""A resource as XML, from what its JSON was read into. Spec: http://hl7.org/fhir/R4/xml.html, json.html#xml.

Elements stand in the order of the definitions, decimals keep their digits, a narrative is put in as the XHTML that it
is. Nothing is left out and nothing replaced: what XML cannot carry is refused.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from cloister.records.definitions import is_type
from cloister.records.fhir.outcomes import NotAcceptable
from cloister.records.fhir.xml_shapes import FHIR, NARRATIVE, NO_ELEMENT, RESOURCE, Element, Shape, companion, shape
from cloister.records.validation.narrative import numbered

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
SPECIAL: Final = re.compile(r'[&<>"\t\n\r]')
ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, 2.2
STEP: Final = "  "


def to_xml(resource: dict[str, Any], *, pretty: bool = False) -> bytes:
    """The XML document of a resource; raises NotAcceptable for what XML cannot carry, with JSON as the way out."""
    writer = _Writer(pretty)
    try:
        writer.resource(resource, 0, f' xmlns="{FHIR}"')
    except RecursionError:
        raise NotAcceptable("This resource is nested too deeply for XML.", hint="Ask for JSON.") from None
    text = "".join(writer.pieces)
    if FORBIDDEN.search(text):
        raise NotAcceptable("This resource holds a character that XML cannot carry.", hint="Ask for JSON.")
    return f"{DECLARATION}{text}".encode()


class _Writer:
    def __init__(self, pretty: bool) -> None:
        self.pieces: list[str] = []
        self._breaks = [""] if not pretty else ["\n"]
        self._pretty = pretty

    def resource(self, node: dict[str, Any], depth: int, namespace: str = "") -> None:
        name = node.get("resourceType")
        if not isinstance(name, str) or not is_type(name):
            raise NotAcceptable("This answer is no resource of FHIR R4, so it has no XML.", hint="Ask for JSON.")
        self._whole(name, f"{name}{namespace}", shape(name), node, depth)

    def _whole(self, name: str, opening: str, of: Shape, node: dict[str, Any], depth: int) -> None:
        """An element with children; one that has only attributes is closed at once."""
        add, line = self.pieces.append, self._line(depth)
        add(f"{line}<{opening}")
        for attribute in of.attributes:
            if attribute in node:
                add(f' {attribute}="{escaped(node[attribute])}"')
        try:
            names = sorted(node.keys() - of.attributes, key=of.places.__getitem__)
        except KeyError as unknown:
            raise NotAcceptable(f"XML has no place for {unknown.args[0]!r} in {name}.", hint="Ask for JSON.") from None
        before = len(self.pieces)
        add(">")
        for prop in names:
            if of.places[prop] != NO_ELEMENT and not (prop[0] == "_" and prop[1:] in node):
                self._property(of.elements[prop.removeprefix("_")], node, depth + 1)
        if len(self.pieces) == before + 1:
            self.pieces[before] = "/>"
        else:
            add(f"{line}</{name}>")

    def _property(self, element: Element, node: dict[str, Any], depth: int) -> None:
        value = node.get(element.name)
        if element.primitive:
            beside = node.get(f"_{element.name}")
            if not element.many:
                self._primitive(element.name, value, beside, depth)
                return
            values, others = value or [], beside or []
            for number in range(max(len(values), len(others))):
                one = values[number] if number < len(values) else None
                other = others[number] if number < len(others) else None
                self._primitive(element.name, one, other, depth)
            return
        for one in value if isinstance(value, list) else [value]:
            self._complex(element, one, depth)

    def _complex(self, element: Element, value: Any, depth: int) -> None:
        if element.kind == NARRATIVE:
            self.pieces.append(self._line(depth) + numbered(value).strip())
        elif element.kind == RESOURCE:
            self.pieces.append(f"{self._line(depth)}<{element.name}>")
            self.resource(value, depth + 1)
            self.pieces.append(f"{self._line(depth)}</{element.name}>")
        else:
            self._whole(element.name, element.name, shape(element.kind), value, depth)

    def _primitive(self, name: str, value: Any, beside: dict[str, Any] | None, depth: int) -> None:
        if value is None and not beside:
            return
        written = "" if value is None else f' value="{escaped(value)}"'
        if not beside:
            self.pieces.append(f"{self._line(depth)}<{name}{written}/>")
            return
        id = f' id="{escaped(beside["id"])}"' if "id" in beside else ""
        others = {prop: one for prop, one in beside.items() if prop != "id"}
        self._whole(name, f"{name}{id}{written}", companion(), others, depth)

    def _line(self, depth: int) -> str:
        """The break before an element; a break for each depth is made once."""
        if not self._pretty:
            return ""
        while len(self._breaks) <= depth:
            self._breaks.append("\n" + STEP * len(self._breaks))
        return self._breaks[depth]


def escaped(value: Any) -> str:
    """A primitive as the text of an attribute; line breaks as references, because a reader would make blanks of them."""
    if value.__class__ is str:
        return value.translate(ESCAPES) if SPECIAL.search(value) else value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    raise NotAcceptable("A value of this resource is no primitive, so it has no XML.", hint="Ask for JSON.")
