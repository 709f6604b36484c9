"""The XML of a document as plain nodes. No document type, so no entity of anybody's making; bounded in bytes, depth and nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from cloister.base.errors import Invalid

DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
DEPTH_MAX: Final = 100
NODES_MAX: Final = 200_000
V3: Final = "urn:hl7-org:v3 "
XSI_TYPE: Final = "http://www.w3.org/2001/XMLSchema-instance type"
ROOT: Final = "ClinicalDocument"


@dataclass(slots=True)
class Node:
    """An element of the HL7 v3 namespace. What is of another has its namespace before its name, so that it is found by nobody."""

    name: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def all(self, path: str) -> list[Node]:
        """The descendants at 'a/b/c'."""
        found = [self]
        for name in path.split("/"):
            found = [child for one in found for child in one.children if child.name == name]
        return found

    def one(self, path: str) -> Node:
        """The first of them, or a node that says nothing."""
        found = self.all(path)
        return found[0] if found else NOTHING

    def get(self, name: str) -> str:
        return self.attributes.get(name, "").strip()

    @property
    def type(self) -> str:
        """xsi:type, without a prefix."""
        return self.attributes.get(XSI_TYPE, "").rpartition(":")[2]

    @property
    def own_text(self) -> str:
        return "".join(self.pieces).strip()

    @property
    def text(self) -> str:
        """All text below, as a reader would see it."""
        return " ".join("".join(self._words()).split())

    def _words(self) -> Iterator[str]:
        yield from self.pieces
        for child in self.children:
            yield " "
            yield from child._words()

    def __bool__(self) -> bool:
        return self is not NOTHING


NOTHING: Final = Node("", {})


def read_tree(body: bytes) -> Node:
    """The document's outermost element; raises Invalid with line and column."""
    if len(body) > DOCUMENT_BYTES_MAX:
        raise Invalid(f"A document has at most {DOCUMENT_BYTES_MAX // 2**20} MiB.", hint="Send a smaller one.", reason="cda-size")
    return _Reader().read(body)


class _Reader:
    def __init__(self) -> None:
        self._parser = expat.ParserCreate(None, " ")
        self._parser.buffer_text = True
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._stack: list[Node] = []
        self._root: Node | None = None
        self._count = 0

    def read(self, body: bytes) -> Node:
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError as broken:
            raise self._wrong(f"This is not well-formed XML: {expat.ErrorString(broken.code)}") from None
        except (LookupError, ValueError):
            raise self._wrong("This encoding of XML is not read") from None
        finally:  # they hold us, and we the parser: the text of a document would stay until the next collection
            self._parser.StartElementHandler = self._parser.EndElementHandler = self._parser.CharacterDataHandler = None
            self._parser.StartDoctypeDeclHandler = None
        if self._root is None or self._root.name != ROOT:
            raise Invalid("This is no CDA document.", hint="Send a ClinicalDocument of urn:hl7-org:v3.", reason="cda")
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) >= DEPTH_MAX or self._count > NODES_MAX:
            raise self._wrong("This document has too many elements, or too many inside each other")
        node = Node(name.removeprefix(V3), attributes)
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self._root = node
        self._stack.append(node)

    def _end(self, _: str) -> None:
        self._stack.pop()

    def _text(self, text: str) -> None:
        if self._stack:
            self._stack[-1].pieces.append(text)

    def _doctype(self, *_: object) -> None:
        raise self._wrong("A document type is not read")

    def _wrong(self, text: str) -> Invalid:
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        return Invalid(f"{text}, at line {line}, column {column}.", hint="Send the CDA document as it was made.", reason="cda-xml")
