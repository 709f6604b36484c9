"""The JSON text of a resource: read without losing the digits of a decimal, written back as it was.

Spec: http://hl7.org/fhir/R4/json.html, datatypes.html#decimal ("the precision of the decimal value has significance").
"""

from __future__ import annotations

from decimal import Decimal
from math import isinf
from typing import Any, Final

import msgspec
import orjson

from cloister.base.errors import Invalid

NUMBER_CHARACTERS_MAX: Final = 64


def number(text: str) -> float | Decimal:
    """A float where it would be written with the same digits, else a Decimal: 5.4 stays quick, 5.40 stays 5.40."""
    value = float(text)
    if repr(value) == text:
        return value
    if isinf(value) or len(text) > NUMBER_CHARACTERS_MAX:
        raise ValueError("a number out of range")
    return Decimal(text)


_decoder: Final = msgspec.json.Decoder(float_hook=number)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def decode(body: bytes) -> Any:
    """The value of a JSON text; raises Invalid with line, column and what to do."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as broken:
        raise _invalid(body, broken) from None


def decode_part(part: bytes | msgspec.Raw) -> Any:
    """The value of a part of a text that was found to be JSON; raises msgspec.DecodeError, ValueError or RecursionError."""
    return _decoder.decode(part)


def encode(value: Any) -> bytes:
    """Compact JSON of what `decode` gave, or of plain dicts, lists, text and numbers."""
    return _encoder.encode(value)


def _invalid(body: bytes, broken: Exception) -> Invalid:
    if not body.strip():
        return Invalid("The request has no body.", hint="Send a JSON object with a resourceType.", reason="json")
    if isinstance(broken, RecursionError):
        return Invalid("This JSON is nested too deeply.", hint="Send something flatter.", reason="json")
    try:
        orjson.loads(body)  # a second reader, for the place: the first names only a byte
    except orjson.JSONDecodeError as second:
        what = second.msg.partition(":")[0]
        return Invalid(
            f"This is not JSON: {what}, at line {second.lineno}, column {second.colno}.",
            hint="Correct the JSON there; text must be UTF-8.",
            reason="json",
        )
    hint = f"Send decimals that fit a double, of at most {NUMBER_CHARACTERS_MAX} characters."
    return Invalid("This JSON holds a number that is out of range.", hint=hint, reason="json")
