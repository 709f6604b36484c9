"""Values that come by the thousand and are never twice the same: quantities, money, moments, periods, references.

Their usual form is told by one regular expression, and what is told so is valid: it need not be read, checked and written
part by part. Whatever has another form gets None here, and goes the long way (elements.py), which comes to the same.
Spec: http://hl7.org/fhir/R4/datatypes.html, references.html#literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloister.records.fhir.text import encode, number

Form = tuple[Any, bytes]  # a value, and its compact JSON

# A moment with seconds and zone, of a year that is not 0000 and a day that every month has (29 and 30: but February).
_DAY: Final = rb"(?!0000)\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30))"
_MOMENT: Final = _DAY + rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"
_REFERENCE: Final = rb'\{"reference":"[!#-\[\]-~]{1,400}"\}'  # of ASCII without blank, quote and backslash

_moment: Final = re.compile(rb'"(%b)"' % _MOMENT).fullmatch
_period: Final = re.compile(rb'\{"start":"(%b)"(?:,"end":"(%b)")?\}' % (_MOMENT, _MOMENT)).fullmatch
_one_reference: Final = re.compile(_REFERENCE).fullmatch
_references: Final = re.compile(rb"\[%b(?:,%b)*\]" % (_REFERENCE, _REFERENCE)).fullmatch
# The number at "value", before which stands nothing that has elements of its own, nor an escape.
_numbered: Final = re.compile(rb'(\{[^\\{\[]*?"value":\s*)(-?(?:0|[1-9]\d{0,14})(?:\.\d{1,20})?)([,}\s].*)', re.DOTALL).fullmatch

_AHEAD: Final = len('{"reference":"')
_BEHIND: Final = len('"}')
_ZONE_FROM: Final = len("2026-11-29T12:00:00")


def moment(raw: bytes, places: Mapping[str, str]) -> Form | None:
    """A dateTime or instant."""
    found = _moment(raw)
    return (found[1].decode(), raw) if found is not None else None


def period(raw: bytes, places: Mapping[str, str]) -> Form | None:
    """A period whose ends are of one precision and zone, the start not after the end (per-1)."""
    found = _period(raw)
    if found is None:
        return None
    start, end = found.groups()
    if end is None:
        return {"start": start.decode()}, raw
    if start[_ZONE_FROM:] != end[_ZONE_FROM:] or start > end:
        return None
    return {"start": start.decode(), "end": end.decode()}, raw


def reference(raw: bytes, places: Mapping[str, str]) -> Form | None:
    """A reference that says nothing but where it points, rewritten by `places`; None for a condition, and for what is not there."""
    if _one_reference(raw) is None:
        return None
    place = _place(raw[_AHEAD:-_BEHIND].decode(), places)
    return ({"reference": place}, b'{"reference":"%b"}' % place.encode()) if place else None


def references(raw: bytes, places: Mapping[str, str]) -> Form | None:
    """A list of such."""
    if _references(raw) is None:
        return None
    found = [_place(text, places) for text in raw[1 + _AHEAD : -1 - _BEHIND].decode().split('"},{"reference":"')]
    if not all(found):
        return None
    bodies = ",".join([f'{{"reference":"{place}"}}' for place in found])
    return [{"reference": place} for place in found], b"[%b]" % bodies.encode()


def _place(text: str, places: Mapping[str, str]) -> str:
    place = places.get(text)
    if place is not None:
        return place
    return "" if text[:4] == "urn:" or "?" in text else text


READERS: Final = {
    ("dateTime", False): moment,
    ("instant", False): moment,
    ("Period", False): period,
    ("Reference", False): reference,
    ("Reference", True): references,
}
NUMBERED: Final = frozenset({"Quantity", "Money"})  # nothing that is asked of these depends on the number


class Mould(msgspec.Struct, gc=False):
    """A good quantity or amount without its number: what other numbers have around them."""

    value: dict[str, Any]
    head: bytes
    tail: bytes

    def form(self, digits: bytes) -> Form:
        value, found = self.value.copy(), _read(digits)
        value["value"] = found
        return value, b"%b%b%b" % (self.head, encode(found), self.tail)


def numbered(raw: bytes) -> tuple[tuple[bytes, bytes], bytes] | None:
    """(what stands around the number, the number), if `raw` has one where Quantity and Money have theirs."""
    found = _numbered(raw)
    if found is None or found[2] == b"-0":
        return None
    return (found[1], found[3]), found[2]


def mould_of(around: tuple[bytes, bytes], digits: bytes, form: Form) -> Mould | None:
    """The mould of a value that was read and checked the long way; None where another number in its place might mean something else."""
    value, body = form
    if b'"value"' in around[1] or b"\\" in around[1] or not isinstance(value, dict) or encode(value.get("value")) != encode(_read(digits)):
        return None
    written = numbered(body)
    return Mould(value, written[0][0], written[0][1]) if written is not None else None


def _read(digits: bytes) -> Any:
    return number(digits.decode()) if b"." in digits else int(digits)
