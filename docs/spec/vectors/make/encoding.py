"""Vectors of section 2: deterministic CBOR and packing. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import case, refused, shown

from cloister.zones import Refusal
from cloister.zones.cbor import encoded
from cloister.zones.packing import packed

VALUES = {
    "the example": {"b": [1, -1, None, True], "aa": "é"},
    "numbers at the borders of their lengths": [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1],
    "negative numbers": [-1, -24, -25, -256, -257, -(2**63), -(2**64)],
    "bytes, text, false": {"bytes": b"\x00\xff", "none": b"", "text": "", "no": False},
    "keys in the order of their encoding": {"z": 1, "aa": 2, "b": 3, "ba": 4, "": 5},
    "eight levels": [[[[[[[["deep"]]]]]]]],
}
REFUSED = {
    "nothing": "",
    "something after the end": "0000",
    "a number longer than it needs to be": "1817",
    "a number in two bytes that fits one": "1900ff",
    "a number in four bytes that fits two": "1a0000ffff",
    "a number in eight bytes that fits four": "1b00000000ffffffff",
    "a length longer than it needs to be": "580161",
    "bytes cut short": "436161",
    "text cut short": "636161",
    "text that is not UTF-8": "61ff",
    "text with half a surrogate pair": "63eda080",
    "bytes of indefinite length": "5f4161ff",
    "an array of indefinite length": "9f01ff",
    "a map of indefinite length": "bf616101ff",
    "an array cut short": "8201",
    "a map cut short": "a2616101",
    "keys out of order": "a2616201616102",
    "longer key before a shorter": "a26261610161620 2".replace(" ", ""),
    "a key twice": "a2616101616102",
    "a number as key": "a10102",
    "bytes as key": "a1416101",
    "a tag": "c000",
    "a bignum": "c24101",
    "half a float": "f93c00",
    "a float": "fb3ff0000000000000",
    "undefined": "f7",
    "a simple value": "e0",
    "a simple value in one byte": "f814",
    "a break": "ff",
    "a reserved length": "1c",
    "an array longer than all that follows": "9b7fffffffffffffff",
    "a text longer than all that follows": "7bffffffffffffffff",
    "nine levels": "81" * 8 + "8100",
}


def cases() -> list[dict[str, Any]]:
    parts: list[Any] = ["text", b"\x00\xff", 7]
    return [
        *(case(name, "cbor", {"bytes": encoded(value)}, {"value": shown(value)}) for name, value in VALUES.items()),
        *(refused(name, "cbor", Refusal.MALFORMED, {"bytes": blob}) for name, blob in REFUSED.items()),
        case(
            "packed",
            "packed",
            {"label": "cloister/example/v1", "parts": shown(parts)},
            {"out": packed("cloister/example/v1", *parts)},
        ),
        case("packed label alone", "packed", {"label": "cloister/example/v1", "parts": []}, {"out": packed("cloister/example/v1")}),
        case("packed largest number", "packed", {"label": "a", "parts": [2**64 - 1]}, {"out": packed("a", 2**64 - 1)}),
        refused("packed negative number", "packed", Refusal.MALFORMED, {"label": "a", "parts": [-1]}),
        refused("packed number of nine bytes", "packed", Refusal.MALFORMED, {"label": "a", "parts": [2**64]}),
    ]
