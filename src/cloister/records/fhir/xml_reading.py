"""A resource from its XML, as its JSON would have been read. Spec: http://hl7.org/fhir/R4/xml.html, json.html#xml.

Read by expat, in one pass, by the element tables. No document type, so no entity of anybody's making; comments, processing
instructions and white space between elements are no part of a resource (xml.html) and fall away. What is unknown is
refused with its line, its column and its path; nothing is guessed.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Final
from xml.parsers import expat

from cloister.base.errors import Invalid
from cloister.records.definitions import is_type
from cloister.records.fhir.text import number
from cloister.records.fhir.xml_narrative import Narrative
from cloister.records.fhir.xml_shapes import BOOLEAN, DECIMAL, FHIR, INTEGERS, NARRATIVE, RESOURCE, XHTML, Element, Shape, companion, shape

DEPTH_MAX: Final = 200
DIGITS_MAX: Final = 64
INTEGER: Final = re.compile(r"[+-]?(0|[1-9][0-9]*)")
NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
SCHEMA_LOCATION: Final = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"  # says nothing about the resource
START: Final = f"{FHIR} "
DIV: Final = f"{XHTML} div"
SAY_NAMESPACE: Final = f'Write xmlns="{FHIR}" on the outermost element.'


def from_xml(body: bytes) -> dict[str, Any]:
    """The resource in an XML document; raises Invalid with line, column, path and what to do."""
    if not body.strip():
        raise Invalid("The request has no body.", hint="Send a resource as XML.", reason="xml")
    if b"\0" in body[:4]:  # expat would believe its byte order mark
        raise Invalid("This XML is not UTF-8.", hint="Send it as UTF-8.", reason="xml")
    return _Reader().read(body)


class _Open:
    """An element whose end has not come yet."""

    __slots__ = ("element", "node", "shape", "value", "repeated", "child")

    def __init__(self, element: Element | None, of: Shape | None) -> None:
        self.element = element
        self.shape = of  # None: it holds a resource
        self.node: dict[str, Any] = {}
        self.value: Any = None  # of a primitive; of what holds a resource, that resource
        self.repeated: dict[str, list[Any]] = {}  # ids and extensions of lists of primitives, aligned with their values
        self.child: str = ""  # the element that is read inside, for error texts


class _Reader:
    def __init__(self) -> None:
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._stack: list[_Open] = []
        self._narrative: Narrative | None = None
        self._resource: dict[str, Any] | None = None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, body: bytes) -> dict[str, Any]:
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError as broken:
            hint = "Correct the XML there; it must be UTF-8, and of entities only &lt; &gt; &amp; &quot; &apos; are known."
            what = expat.ErrorString(broken.code)
            raise self._wrong(f"This is not well-formed XML: {what}", hint, broken.lineno, broken.offset + 1) from None
        finally:  # they hold us, and we the parser: the text of a record would stay until the next collection
            self._parser.StartElementHandler = self._parser.EndElementHandler = self._parser.CharacterDataHandler = None
            self._parser.XmlDeclHandler = self._parser.StartDoctypeDeclHandler = None
        if self._resource is None:
            raise self._wrong("This XML holds no resource", "Send one resource as the outermost element.")
        return self._resource

    # --- events ---------------------------------------------------------------------------------------------------

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._narrative is not None:
            wrong = self._narrative.start(name, attributes)
            if wrong:
                raise self._wrong(wrong, "Use XHTML in the namespace of XHTML, as http://hl7.org/fhir/R4/narrative.html allows.")
            return
        if len(self._stack) >= DEPTH_MAX:
            raise self._wrong("This XML is nested too deeply", f"At most {DEPTH_MAX} elements stand inside each other.")
        parent = self._stack[-1] if self._stack else None
        if parent is None or parent.shape is None:
            self._start_resource(parent, name, attributes)
            return
        element = self._known(parent, name)
        parent.child = element.name
        if element.kind == NARRATIVE:
            self._narrative = Narrative()
            wrong = self._narrative.start(name, attributes)
            if wrong:
                raise self._wrong(wrong, "Use only attributes that XHTML has.")
            self._refuse_repeated(parent, element)
            return
        opened = _Open(element, companion() if element.primitive else None if element.kind == RESOURCE else shape(element.kind))
        self._stack.append(opened)
        self._attributes(opened, attributes)
        if not element.many:
            self._refuse_repeated(parent, element)

    def _start_resource(self, parent: _Open | None, name: str, attributes: dict[str, str]) -> None:
        space, _, type = name.rpartition(" ")
        if space != FHIR:
            raise self._wrong(f"<{type[:64]}> is not in the namespace of FHIR", SAY_NAMESPACE)
        if not is_type(type):
            raise self._wrong(f"<{type[:64]}> is no resource type of FHIR R4", "Mind upper and lower case: Patient, Observation.")
        if parent is not None and parent.value is not None:
            raise self._wrong("Two resources stand where one may", "Give each an element of its own.")
        opened = _Open(None, shape(type))
        opened.node["resourceType"] = type
        self._stack.append(opened)
        for one in attributes:
            if one != SCHEMA_LOCATION:
                raise self._wrong(f"A resource has no attribute '{one.rpartition(' ')[2][:64]}'", "Write its id as an element: <id/>.")

    def _end(self, name: str) -> None:
        if self._narrative is not None:
            if self._narrative.end(name):
                self._stack[-1].node["div"] = self._narrative.text()
                self._narrative = None
            return
        closed = self._stack.pop()
        for prop, companions in closed.repeated.items():
            _align(closed.node, prop, companions)
        if closed.element is None:
            if self._stack:
                self._stack[-1].value = closed.node
            else:
                self._resource = closed.node
            return
        self._add(self._stack[-1], closed, closed.element)

    def _text(self, text: str) -> None:
        if self._narrative is not None:
            self._narrative.characters(text)
        elif not text.isspace():
            hint = 'A value stands in an attribute: <status value="final"/>.'
            raise self._wrong("Text stands where FHIR has none", hint)

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise self._wrong("This XML says that it is not UTF-8", 'Send UTF-8, with encoding="UTF-8" or without a declaration.')

    def _doctype(self, *about: Any) -> None:
        raise self._wrong("A document type declaration is not read", "Leave out <!DOCTYPE>; write characters, not entities.")

    # --- elements -------------------------------------------------------------------------------------------------

    def _known(self, parent: _Open, name: str) -> Element:
        assert parent.shape is not None
        local = name.removeprefix(START)
        element = parent.shape.elements.get(local)
        if element is not None and (name == DIV if element.kind == NARRATIVE else len(local) + len(START) == len(name)):
            return element
        if local == "div" and element is not None:
            raise self._wrong("The narrative is not in the namespace of XHTML", f'Write <div xmlns="{XHTML}">.')
        if name == DIV and "div" in parent.shape.elements:
            return parent.shape.elements["div"]
        space, _, bare = name.rpartition(" ")
        if space != FHIR:
            raise self._wrong(f"<{bare[:64]}> is not in the namespace of FHIR", SAY_NAMESPACE)
        near = difflib.get_close_matches(bare[:64], parent.shape.elements, 1)
        known = list(parent.shape.elements)
        some = ", ".join(known[:12]) + (" and others" if len(known) > 12 else "")
        hint = f"Is it <{near[0]}>?" if near else f"Known here are {some}."
        raise self._wrong(f"There is no element <{bare[:64]}> here", hint)

    def _refuse_repeated(self, parent: _Open, element: Element) -> None:
        if element.name in parent.node or f"_{element.name}" in parent.node:
            raise self._wrong(f"<{element.name}> is given twice", "Send it once.")

    def _attributes(self, opened: _Open, attributes: dict[str, str]) -> None:
        element, of = opened.element, opened.shape
        assert element is not None
        for name, text in attributes.items():
            if not text:
                raise self._wrong(f"The attribute '{name[:64]}' is empty", "Give it a value, or leave it out.")
            if name == "value" and element.primitive:
                opened.value = self._value(element, text)
            elif of is not None and name in of.attributes:
                opened.node[name] = text
            else:
                hint = f'Write it as an element inside: <{element.name}><{name[:64]} value="..."/>.' if " " not in name else SAY_NAMESPACE
                raise self._wrong(f"<{element.name}> has no attribute '{name.rpartition(' ')[2][:64]}'", hint)

    def _value(self, element: Element, text: str) -> Any:
        kind = element.kind
        if kind == BOOLEAN:
            if text not in ("true", "false"):
                raise self._wrong(f"<{element.name}> is neither true nor false", 'Write value="true" or value="false".')
            return text == "true"
        if kind == DECIMAL:
            if not NUMBER.fullmatch(text):
                raise self._wrong(f"<{element.name}> is no decimal", 'Write it like value="5.40".')
            try:
                return number(text) if not text.lstrip("-").isdigit() else self._whole(element, text)
            except ValueError:
                raise self._wrong(f"<{element.name}> is out of range", "Send a decimal that fits a double.") from None
        if kind in INTEGERS:
            if not INTEGER.fullmatch(text):
                raise self._wrong(f"<{element.name}> is no whole number", 'Write it like value="12".')
            return self._whole(element, text)
        return text

    def _whole(self, element: Element, text: str) -> int:
        if len(text) > DIGITS_MAX:
            raise self._wrong(f"<{element.name}> is out of range", "Send fewer digits.")
        return int(text)

    def _add(self, parent: _Open, closed: _Open, element: Element) -> None:
        node = parent.node
        if element.primitive:
            self._add_primitive(parent, closed, element)
            return
        value: Any = closed.value if closed.shape is None else closed.node
        if not value:
            hint = "Give it what it is to hold, or leave it out; an element is never empty."
            raise self._wrong(f"<{element.name}> is empty", hint)
        if element.many:
            node.setdefault(element.name, []).append(value)
        else:
            node[element.name] = value

    def _add_primitive(self, parent: _Open, closed: _Open, element: Element) -> None:
        name, node, beside = element.name, parent.node, closed.node or None
        if closed.value is None and beside is None:
            raise self._wrong(f"<{name}> is empty", 'Give it a value (value="..."), or leave it out.')
        if not element.many:
            if closed.value is not None:
                node[name] = closed.value
            if beside is not None:
                node[f"_{name}"] = beside
            return
        values = node.get(name)
        if values is None:
            values = node[name] = []
            parent.repeated[name] = []
        values.append(closed.value)
        parent.repeated[name].append(beside)

    # --- errors ---------------------------------------------------------------------------------------------------

    def _wrong(self, text: str, hint: str, line: int = 0, column: int = 0) -> Invalid:
        line, column = line or self._parser.CurrentLineNumber, column or self._parser.CurrentColumnNumber + 1
        return Invalid(f"{text}, at line {line}, column {column}.", hint=hint, reason="xml", expression=self._path())

    def _path(self) -> str:
        """Where we are, as a FHIRPath: Patient.name[0].given[1]."""
        path = ""
        for number_of, one in enumerate(self._stack):
            if one.element is None:
                path = path or str(one.node["resourceType"])
                continue
            path += f".{one.element.name}"
            if one.element.many:
                path += f"[{len(self._stack[number_of - 1].node.get(one.element.name, ()))}]"
        return path


def _align(node: dict[str, Any], prop: str, companions: list[Any]) -> None:
    """A list of primitives and that of their ids and extensions: left out where it would hold nothing (json.html#primitive)."""
    if any(one is not None for one in companions):
        node[f"_{prop}"] = companions
        if all(one is None for one in node[prop]):
            del node[prop]
