"""One HL7 v2 message, read: bytes to segments with numbered fields. HL7 v2.5 chapter 2.

Bounded, and strict about the header; afterwards a field is asked for by its number and is empty where there is none.
The parser is that of the package `hl7`; its containers do not leave this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import hl7

from cloister.integration.hl7v2.escapes import Delimiters, unescaped
from cloister.integration.hl7v2.faults import Condition, Unfit, Unreadable

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024 - 8192
SEGMENTS_MAX: Final = 5000
PIECES_MAX: Final = 200_000  # separators: each becomes an object of the parser
CONTROL_CHARACTERS_MAX: Final = 199
HEADER_FIELDS: Final = 9
NULL: Final = '""'  # present and empty: what is there is to be deleted (2.5.3.2)
# MSH-18, table 0211, as far as French and English senders use it.
CHARSETS: Final = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "8859/1": "iso-8859-1",
    "8859/15": "iso-8859-15",
    "ASCII": "ascii",
}
NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")

Component = list[str]  # subcomponents
Repetition = list[Component]
Values = list[Repetition]


@dataclass(frozen=True, slots=True)
class Segment:
    """`number` counts segments of the same name from 1, as ERR-2 does."""

    name: str
    number: int
    fields: tuple[Values, ...]  # fields[0] is the name; fields[3] is SEG-3
    text: str = field(repr=False)
    delimiters: Delimiters
    charset: str

    def values(self, number: int) -> Values:
        """The repetitions of a field; none where it is empty."""
        return self.fields[number] if number < len(self.fields) else []

    def text_of(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """Component 1.. of the first repetition, as text; "" where there is none. NULL stays NULL."""
        values = self.values(number)
        return self.piece(values[0], component, subcomponent) if values else ""

    def piece(self, repetition: Repetition, component: int, subcomponent: int = 1) -> str:
        if component > len(repetition) or subcomponent > len(repetition[component - 1]):
            return ""
        return unescaped(repetition[component - 1][subcomponent - 1], self.delimiters, self.charset).strip()

    def raw(self, number: int) -> str:
        """The whole first repetition, its components joined: for text types, whose writers forget to escape."""
        values = self.values(number)
        if not values:
            return ""
        by = self.delimiters
        return unescaped(by.component.join(by.subcomponent.join(one) for one in values[0]), by, self.charset)

    def is_null(self, number: int) -> bool:
        return self.values(number) == [[[NULL]]]

    def given(self, number: int) -> bool:
        """Whether the field says anything, a deletion included."""
        return any(piece for repetition in self.values(number) for component in repetition for piece in component)

    def place(self, number: int, component: int = 0) -> str:
        return f"{self.name}^{self.number}^{number}" + (f"^1^{component}" if component else "")

    def needed(self, number: int, component: int = 1) -> str:
        text = self.text_of(number, component)
        if not text or text == NULL:
            raise Unfit(
                f"{self.name}-{number} is missing.",
                condition=Condition.FIELD_MISSING,
                place=self.place(number, component if component > 1 else 0),
                hint=f"Send {self.name}-{number}.",
            )
        return text


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose header is right."""

    segments: tuple[Segment, ...]
    delimiters: Delimiters
    charset: str  # Python's name of MSH-18
    declared: bool  # whether MSH-18 said it

    @property
    def header(self) -> Segment:
        return self.segments[0]

    @property
    def type(self) -> str:
        return self.header.text_of(9, 1)

    @property
    def event(self) -> str:
        return self.header.text_of(9, 2)

    @property
    def control(self) -> str:
        return self.header.text_of(10)

    @property
    def sender(self) -> str:
        """Sending application and facility: MSH-3.1|MSH-4.1."""
        return f"{self.header.text_of(3)}|{self.header.text_of(4)}"

    def all(self, name: str) -> list[Segment]:
        return [one for one in self.segments if one.name == name]

    def first(self, name: str) -> Segment | None:
        return next((one for one in self.segments if one.name == name), None)

    def only(self, name: str) -> Segment:
        found = self.first(name)
        if found is None:
            raise Unfit(f"There is no {name} segment.", condition=Condition.SEGMENT_SEQUENCE, place=name, hint=f"Send {name}.")
        return found


def delimiters_of(data: bytes) -> Delimiters:
    """MSH-1 and MSH-2 of the bytes; Unreadable where they are no header."""
    if data[:3] in (b"BHS", b"FHS"):
        raise Unreadable("Batches are not taken.", condition=Condition.MESSAGE_TYPE, hint="Send each message on its own.")
    head = data[:8].decode("ascii", "replace")
    marks = head[3:8]
    if head[:3] != "MSH" or len(marks) < 5 or len(set(marks)) != 5 or any(one.isalnum() or not " " < one < "\x7f" for one in marks):
        raise Unreadable(
            "The message does not begin with a header that can be read.",
            condition=Condition.SEGMENT_SEQUENCE,
            place="MSH^1",
            hint=r"Begin with MSH|^~\&|.",
        )
    after = data[8:9].decode("ascii", "replace")
    if after != marks[0]:
        raise Unreadable("MSH-2 has four characters.", condition=Condition.DATA_TYPE, place="MSH^1^2", hint=r"Send MSH|^~\&|.")
    return Delimiters(*marks)


def charset_of(data: bytes, by: Delimiters, assumed: str) -> tuple[str, bool]:
    """(Python's name, whether MSH-18 said it). `assumed`: an MSH-18 value for messages that say nothing, or "" to refuse them."""
    fields = data.split(b"\r", 1)[0].split(by.field.encode())
    said = fields[17].split(by.repetition.encode())[0].decode("ascii", "replace").strip() if len(fields) > 17 else ""
    if said:
        known = CHARSETS.get(said.upper())
        if known is None:
            raise Unreadable(
                f"The character set '{said[:40]}' is not read.",
                condition=Condition.TABLE_VALUE,
                place="MSH^1^18",
                hint="Send UNICODE UTF-8, 8859/1 or 8859/15.",
            )
        return known, True
    if data.isascii():
        return "utf-8", False
    known = CHARSETS.get(assumed.upper())
    if known is None:
        raise Unreadable(
            "The message has accents and does not say in which character set.",
            condition=Condition.FIELD_MISSING,
            place="MSH^1^18",
            hint="Send MSH-18, or have a character set assumed for this sender.",
        )
    return known, False


def read_message(data: bytes, *, assumed: str = "") -> Message:
    """Raises Unreadable for what cannot be followed, Unfit for what lacks a part of its header."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise Unreadable(
            f"A message has at most {MESSAGE_BYTES_MAX} bytes.", condition=Condition.DATA_TYPE, hint="Send documents on their own."
        )
    data = data.replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip(b"\r\x00 ")
    by = delimiters_of(data)
    if (
        b"\x00" in data
        or data.count(by.field.encode()) + data.count(by.component.encode()) > PIECES_MAX
        or data.count(b"\r") > SEGMENTS_MAX
    ):
        raise Unreadable("The message has too many parts, or zero bytes.", condition=Condition.DATA_TYPE, hint="Split the message.")
    charset, declared = charset_of(data, by, assumed)
    try:
        text = data.decode(charset)
    except UnicodeDecodeError as broken:
        raise Unreadable(
            f"Byte {broken.start + 1} of the message is not {charset}.",
            condition=Condition.DATA_TYPE,
            place="MSH^1^18",
            hint="Send the message in the character set that MSH-18 names.",
        ) from None
    message = Message(tuple(_segments(text, by, charset)), by, charset, declared)
    _check_header(message)
    return message


def _segments(text: str, by: Delimiters, charset: str) -> Iterator[Segment]:
    counts: dict[str, int] = {}
    for line in text.split("\r"):
        if not line.strip():
            continue
        name = line[:3]
        if not NAME.fullmatch(name) or line[3:4] not in ("", by.field):
            raise Unreadable(
                "A line of the message is no segment.", condition=Condition.SEGMENT_SEQUENCE, hint="Escape line ends in text as \\.br\\."
            )
        counts[name] = counts.get(name, 0) + 1
        if name == "MSH" and counts[name] > 1:
            raise Unreadable(
                "There are two headers in one message.", condition=Condition.SEGMENT_SEQUENCE, place="MSH^2", hint="Frame each message."
            )
        yield Segment(name, counts[name], _fields(line, name, by), line, by, charset)


def _fields(line: str, name: str, by: Delimiters) -> tuple[Values, ...]:
    """The line's fields as the package reads them; it must see a header first to know the separators."""
    head = f"MSH{by.field}{by.characters}{by.field}"
    try:
        parsed = hl7.parse(line if name == "MSH" else f"{head}\r{line}")
    except (hl7.ParseException, ValueError, IndexError, KeyError):
        raise Unreadable(
            f"Segment {name} cannot be read.", condition=Condition.DATA_TYPE, place=name, hint="Check its separators."
        ) from None
    return tuple(_values(one) for one in parsed[-1])


def _values(found: Any) -> Values:
    if isinstance(found, str):
        return [[[found]]] if found else []
    values = [_repetition(one) for one in found]
    return [] if values == [[[""]]] else values


def _repetition(found: Any) -> Repetition:
    if isinstance(found, str):
        return [[found]]
    return [[one] if isinstance(one, str) else [str(piece) for piece in one] for one in found]


def _check_header(message: Message) -> None:
    header = message.header
    for number, what in ((9, "message type"), (10, "control id")):
        if not header.text_of(number):
            raise Unreadable(
                f"The header has no {what}.", condition=Condition.FIELD_MISSING, place=header.place(number), hint=f"Send MSH-{number}."
            )
    if len(message.control) > CONTROL_CHARACTERS_MAX:
        raise Unreadable(
            "The control id is too long.", condition=Condition.DATA_TYPE, place=header.place(10), hint="Use at most 199 characters."
        )
    if not header.text_of(12).startswith("2."):
        raise Unreadable(
            "This is not HL7 version 2.", condition=Condition.VERSION, place=header.place(12), hint="Send MSH-12, such as 2.5."
        )
