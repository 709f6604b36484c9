"""The common form of values that are compared: text, moments, numbers.

Spec: http://hl7.org/fhir/R4/search.html#string (case and accents do not count), #date (a partial date is a span),
#number (the digits given say the precision).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from cloister.base.errors import Invalid
from cloister.records.search.entry import TIME_MAX, UNIT

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 24 * 60 * MINUTE
DATE_SHAPE: Final = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?")
# Letters that Unicode does not take apart, and the typographic forms of apostrophe and hyphen.
LETTERS: Final = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "þ": "th", "’": "'", "ʼ": "'", "‘": "'"}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
)


def fold(text: str) -> str:
    """Case, accents and runs of white space do not count: ' Hélène  DUPONT' and 'helene dupont' are one."""
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", text).casefold()
        text = unicodedata.normalize("NFKD", "".join(c for c in apart if not unicodedata.combining(c)).translate(LETTERS))
    return " ".join(text.lower().split())


def folded(text: str) -> str:
    """What the index keeps of a string: folded, then the original where it differs (for `:exact`)."""
    common = fold(text)
    return common if common == text else common + UNIT + text


def span(text: str) -> tuple[int, int]:
    """The moments that a FHIR date, dateTime or instant covers: [low, high) in microseconds. Raises ValueError."""
    size = len(text)
    if size > 10:
        return _moment(text, size)
    if size == 10:
        low = (datetime(int(text[:4]), int(text[5:7]), int(text[8:]), tzinfo=UTC) - EPOCH) // MICROSECOND
        return low, low + DAY
    year = int(text[:4])
    month = int(text[5:7]) if size == 7 else 1
    low = (datetime(year, month, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
    months = year * 12 + month - 1 + (1 if size == 7 else 12)
    if months // 12 > 9999:
        return low, TIME_MAX
    return low, (datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND


def _moment(text: str, size: int) -> tuple[int, int]:
    if size > 18 and text[17] == "6":  # a leap second is not a datetime; the second before is near enough to find it
        text = text[:17] + "59" + text[19:]
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:  # only in a request: FHIR demands a zone in resources
        at = at.replace(tzinfo=UTC)
    low = (at - EPOCH) // MICROSECOND
    if size > 19 and text[19] == ".":
        digits = len(text) - 20 - (1 if text.endswith("Z") else 6 if text[-3] == ":" else 0)
        return low, low + 10 ** max(0, 6 - digits)
    return low, low + (SECOND if size > 16 and text[16] == ":" else MINUTE)


def asked_span(text: str) -> tuple[int, int]:
    """`span` of a date in a request; raises Invalid with what a date looks like. A '+' sent unescaped arrives as a blank."""
    text = text.strip().replace(" ", "+")
    if DATE_SHAPE.fullmatch(text):
        try:
            return span(text)
        except ValueError:
            pass
    raise Invalid("This is not a date that exists.", hint="Write 2026, 2026-11, 2026-11-22 or 2026-11-22T13:00:00Z.")


def asked_number(text: str) -> tuple[float, float, float]:
    """Value, and the span that its digits imply: 5.40 is [5.395, 5.405). Raises Invalid.

    Reckoned in decimals, so that 5.35 itself is in the span of 5.4, as it is on paper.
    """
    match = re.fullmatch(r"[+-]?\d+(?:\.(\d+))?(?:[eE]([+-]?\d{1,2}))?", text.strip())
    if match is None:
        raise Invalid("This is not a number.", hint="Write a number such as 5.4 or 1e3.")
    value = Decimal(text.strip())
    half = Decimal(5).scaleb(int(match[2] or 0) - len(match[1] or "") - 1)
    return float(value), float(value - half), float(value + half)
