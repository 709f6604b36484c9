"""A code system as arrays: a code is found by halving, a name by one pass over folded text, an ancestor by walking up.

Spec: http://hl7.org/fhir/R4/codesystem.html. One layout serves a table of four codes and one of a million: nothing is decoded
before it is asked for, and a search in a mapped file touches only the pages it needs.

    u32 count, u32 size of each column | columns: head, order, codes, displays, folded, parents, children, marks, details

Texts are one heap with u32 ends. `order` lists the concepts by key; a concept's number is its place in the document.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from cloister.records.search.fold import fold

COLUMNS: Final[tuple[str, ...]] = (
    "head", "order", "code_ends", "codes", "display_ends", "displays", "fold_ends", "folds",
    "parent_ends", "parents", "child_ends", "children", "marks", "detail_ends", "details",
)  # fmt: skip
INACTIVE: Final = 1
ABSTRACT: Final = 2
HEAD_KEPT: Final[tuple[str, ...]] = (
    "url", "version", "id", "name", "title", "status", "content", "caseSensitive", "hierarchyMeaning", "language", "supplements",
    "property", "filter", "publisher", "copyright", "valueSet", "compositional",
)  # fmt: skip
# http://hl7.org/fhir/R4/codesystem-concept-properties.html: the properties that every code system may use.
GONE: Final = frozenset({"retired", "inactive", "deprecated", "withdrawn"})
UPWARDS: Final = frozenset({"parent", "subsumedBy"})


class CodeSystem:
    """One code system, over the bytes of its segment."""

    __slots__ = (
        "_child_ends", "_children", "_code_ends", "_codes", "_detail_ends", "_details", "_display_ends", "_displays",
        "_fold_ends", "_folds", "_marks", "_order", "_parent_ends", "_parents", "count", "head",
    )  # fmt: skip

    def __init__(self, segment: memoryview) -> None:
        sizes = struct.unpack_from(f"<{len(COLUMNS) + 1}I", segment)
        self.count = sizes[0]
        at = 4 * len(sizes)
        columns: dict[str, memoryview] = {}
        for name, size in zip(COLUMNS, sizes[1:], strict=True):
            at += -at % 8
            columns[name] = segment[at : at + size]
            at += size
        self.head: dict[str, Any] = msgspec.msgpack.decode(columns["head"])
        self._order, self._code_ends = columns["order"].cast("I"), columns["code_ends"].cast("I")
        self._display_ends, self._fold_ends = columns["display_ends"].cast("I"), columns["fold_ends"].cast("I")
        self._parent_ends, self._parents = columns["parent_ends"].cast("I"), columns["parents"].cast("I")
        self._child_ends, self._children = columns["child_ends"].cast("I"), columns["children"].cast("I")
        self._detail_ends, self._details = columns["detail_ends"].cast("I"), columns["details"]
        self._codes, self._displays, self._folds = columns["codes"], columns["displays"], columns["folds"]
        self._marks = columns["marks"]

    @property
    def url(self) -> str:
        return str(self.head["url"])

    @property
    def version(self) -> str:
        return str(self.head.get("version", ""))

    @property
    def complete(self) -> bool:
        """Whether a code that is not here does not exist."""
        return self.head.get("content") == "complete"

    def find(self, code: str) -> int | None:
        """The number of a code; None when there is none."""
        key = key_of(code, self.head)
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if key_of(self.code(self._order[middle]), self.head) < key:
                low = middle + 1
            else:
                high = middle
        if low < self.count and key_of(self.code(self._order[low]), self.head) == key:
            return self._order[low]
        return None

    def code(self, number: int) -> str:
        return _text(self._codes, self._code_ends, number)

    def display(self, number: int) -> str:
        return _text(self._displays, self._display_ends, number)

    def parents(self, number: int) -> list[int]:
        return _numbers(self._parents, self._parent_ends, number)

    def children(self, number: int) -> list[int]:
        return _numbers(self._children, self._child_ends, number)

    def inactive(self, number: int) -> bool:
        return bool(self._marks[number] & INACTIVE)

    def abstract(self, number: int) -> bool:
        return bool(self._marks[number] & ABSTRACT)

    def detail(self, number: int) -> dict[str, Any]:
        """`definition`, `designation` and `property` of a concept, as they were sent."""
        start, end = self._detail_ends[number - 1] if number else 0, self._detail_ends[number]
        found: dict[str, Any] = msgspec.msgpack.decode(self._details[start:end]) if end > start else {}
        return found

    def under(self, number: int) -> frozenset[int]:
        """Everything below a concept, and itself."""
        found, waiting = {number}, [number]
        while waiting:
            for child in self.children(waiting.pop()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return frozenset(found)

    def over(self, number: int) -> frozenset[int]:
        """Everything above a concept, and itself."""
        found, waiting = {number}, [number]
        while waiting:
            for parent in self.parents(waiting.pop()):
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return frozenset(found)

    def is_under(self, number: int, ancestor: int) -> bool:
        """True if `number` is `ancestor` or below it."""
        return ancestor in self.over(number)

    def named(self, words: str) -> Iterator[int]:
        """The concepts whose code, display or a designation holds every word, in document order."""
        wanted = [word.encode() for word in fold(words).split()]
        if not wanted:
            yield from range(self.count)
            return
        longest, ends = re.compile(re.escape(max(wanted, key=len))), self._fold_ends
        found = longest.search(self._folds)
        while found is not None:
            number = _place(ends, found.start())
            start, end = ends[number - 1] if number else 0, ends[number]
            text = bytes(self._folds[start:end])
            if all(word in text for word in wanted):
                yield number
            found = longest.search(self._folds, end)


def key_of(code: str, head: dict[str, Any]) -> str:
    return code if head.get("caseSensitive", True) else code.casefold()


def _text(heap: memoryview, ends: memoryview, number: int) -> str:
    return str(heap[ends[number - 1] if number else 0 : ends[number]], "utf-8")


def _numbers(heap: memoryview, ends: memoryview, number: int) -> list[int]:
    return list(heap[ends[number - 1] if number else 0 : ends[number]])


def _place(ends: memoryview, at: int) -> int:
    """The first text that ends behind this place."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if ends[middle] <= at:
            low = middle + 1
        else:
            high = middle
    return low


# --- writing --------------------------------------------------------------------------------------------------------


class Concepts:
    """The concepts of a code system in document order, with their places in the hierarchy."""

    def __init__(self, resource: dict[str, Any]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.above: list[set[int]] = []
        self.numbers: dict[str, int] = {}
        waiting: list[tuple[dict[str, Any], int]] = [(one, -1) for one in reversed(resource.get("concept", ()))]
        while waiting:
            concept, parent = waiting.pop()
            if "code" not in concept:  # only an extension in its place
                continue
            number = self.numbers.get(concept["code"])
            if number is None:
                number = self.numbers[concept["code"]] = len(self.rows)
                self.rows.append(concept)
                self.above.append(set())
            if parent >= 0:
                self.above[number].add(parent)
            waiting.extend((one, number) for one in reversed(concept.get("concept", ())))
        self._by_properties()

    def _by_properties(self) -> None:
        """Hierarchies that are told by properties instead of by nesting, as in LOINC and SNOMED CT."""
        for number, concept in enumerate(self.rows):
            for one in concept.get("property", ()):
                other = self.numbers.get(str(one.get("valueCode") or one.get("valueCoding", {}).get("code") or ""))
                if other is None or other == number:
                    continue
                if one.get("code") in UPWARDS:
                    self.above[number].add(other)
                elif one.get("code") == "child":
                    self.above[other].add(number)

    def below(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.rows]
        for number, parents in enumerate(self.above):
            for parent in sorted(parents):
                found[parent].append(number)
        return found


def packed_code_system(resource: dict[str, Any]) -> bytes:
    """The segment of a CodeSystem."""
    concepts = Concepts(resource)
    rows, head = concepts.rows, {name: resource[name] for name in HEAD_KEPT if name in resource}
    order = sorted(range(len(rows)), key=lambda number: key_of(rows[number]["code"], head))
    details = [{name: row[name] for name in ("definition", "designation", "property") if name in row} for row in rows]
    columns = {
        "head": msgspec.msgpack.encode(head),
        "order": _u32(order),
        "marks": bytes(_mark(row) for row in rows),
    }
    texts = {
        "code": [row["code"].encode() for row in rows],
        "display": [row.get("display", "").encode() for row in rows],
        "fold": [fold("\n".join(_names(row))).encode() + b"\n" for row in rows],
        "detail": [msgspec.msgpack.encode(one) if one else b"" for one in details],
    }
    for name, parts in texts.items():
        columns[f"{name}_ends"], columns[f"{name}s"] = _heap([len(part) for part in parts]), b"".join(parts)
    for one, many, lists in (("parent", "parents", [sorted(one) for one in concepts.above]), ("child", "children", concepts.below())):
        columns[f"{one}_ends"] = _heap([len(part) for part in lists])
        columns[many] = _u32([number for part in lists for number in part])
    return _laid_out(len(rows), [columns[name] for name in COLUMNS])


def _laid_out(count: int, columns: list[bytes]) -> bytes:
    body = bytearray(struct.pack(f"<{len(columns) + 1}I", count, *(len(one) for one in columns)))
    for one in columns:
        body.extend(bytes(-len(body) % 8))
        body.extend(one)
    return bytes(body)


def _names(row: dict[str, Any]) -> list[str]:
    return [row["code"], row.get("display", ""), *(str(one.get("value", "")) for one in row.get("designation", ()))]


def _mark(row: dict[str, Any]) -> int:
    mark = 0
    for one in row.get("property", ()):
        code, value = one.get("code"), next((value for name, value in one.items() if name.startswith("value")), None)
        if (code == "inactive" and value in (True, "true")) or (code == "status" and value in GONE):
            mark |= INACTIVE
        if code in ("notSelectable", "abstract") and value in (True, "true"):
            mark |= ABSTRACT
    return mark


def _u32(numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _heap(sizes: list[int]) -> bytes:
    ends, at = [], 0
    for size in sizes:
        at += size
        ends.append(at)
    return _u32(ends)
