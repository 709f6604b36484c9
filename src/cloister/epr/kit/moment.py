"""FHIR dates with the precision they were given, http://hl7.org/fhir/R4/datatypes.html#dateTime, shown without ambiguity.

Shown as dd-Mmm-yyyy, as the NHS Common User Interface guide 'Date and time display' asks: never 03/04/2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from typing import Final

MONTHS: Final = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "fr": ("janv", "févr", "mars", "avr", "mai", "juin", "juil", "août", "sept", "oct", "nov", "déc"),
}
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_TYPED: Final = re.compile(r"(?P<day>[\w./ -]{4,24}?)(?:[ T]+(?P<hour>\d{1,2})[:hH](?P<minute>\d{2}))?")
_BETWEEN: Final = re.compile(r"[-/. ]+")


@dataclass(frozen=True)
class Moment:
    """A FHIR date, dateTime or instant as text; empty when there is none."""

    text: str = ""

    def __bool__(self) -> bool:
        return self.at is not None

    @cached_property
    def at(self) -> datetime | None:
        """As an aware datetime in the system's time zone; parts that were not given are the first of their kind."""
        return _parsed(self.text)

    @property
    def order(self) -> datetime:
        return self.at or _NEVER

    @property
    def day(self) -> date | None:
        return self.at.date() if self.at else None

    @property
    def has_time(self) -> bool:
        return len(self.text) > 10

    def shown(self, language: str, *, time: bool = True) -> str:
        """'05-Mar-2026 14:30', '05-Mar-2026', 'Mar-2026' or '2026', as precise as it is known."""
        if self.at is None:
            return ""
        month = MONTHS.get(language, MONTHS["en"])[self.at.month - 1]
        if len(self.text) == 4:
            return f"{self.at.year:04d}"
        if len(self.text) == 7:
            return f"{month}-{self.at.year:04d}"
        day = f"{self.at.day:02d}-{month}-{self.at.year:04d}"
        return f"{day} {self.at.hour:02d}:{self.at.minute:02d}" if time and self.has_time else day


def of_day(day: date) -> Moment:
    return Moment(day.isoformat())


def of_time(at: datetime) -> Moment:
    return Moment(at.astimezone(UTC).isoformat(timespec="seconds"))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> datetime | None:
    if not text:
        return None
    try:
        if len(text) == 4:
            return datetime(int(text), 1, 1).astimezone()
        if len(text) == 7:
            return datetime(int(text[:4]), int(text[5:]), 1).astimezone()
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def age_years(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def age_parts(born: date, on: date) -> tuple[int, str]:
    """(number, unit) as the NHS guide shows age: years from 2, months from 8 weeks, weeks from 4, else days; 'y' 'm' 'w' 'd'."""
    days = max(0, (on - born).days)
    if days < 28:
        return days, "d"
    if days < 56:
        return days // 7, "w"
    years = age_years(born, on)
    if years < 2:
        return (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day), "m"
    return years, "y"


def parse_day(text: str) -> date | None:
    """A whole date as a person types it: 2026-03-05, 05/03/2026, 05.03.2026, 05-Mar-2026, 5 mars 2026. Day before month."""
    written = parse_moment(text)
    return date.fromisoformat(written) if len(written) == 10 else None


def parse_moment(text: str) -> str:
    """What was typed as a FHIR dateTime of the same precision, in the system's time zone; empty when it is no date.

    2026 · Mar-2026 · 03/2026 · any whole date · any whole date with 14:30 after it.
    """
    found = _TYPED.fullmatch(text.strip())
    if not found:
        return ""
    parts = [part for part in _BETWEEN.split(found["day"]) if part]
    if len(parts) > 1 and len(parts[0]) == 4 and parts[0].isdigit():  # the year first
        parts.reverse()
    if not parts or len(parts) > 3 or len(parts[-1]) != 4 or (found["hour"] and len(parts) != 3):
        return ""
    try:
        year = int(parts[-1])
        month = _month(parts[-2]) if len(parts) > 1 else 1
        whole = datetime(year, month, int(parts[0]) if len(parts) == 3 else 1, int(found["hour"] or 0), int(found["minute"] or 0))
    except ValueError:
        return ""
    if found["hour"]:
        return whole.astimezone().isoformat(timespec="seconds")
    return whole.date().isoformat()[: {1: 4, 2: 7, 3: 10}[len(parts)]]


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    for months in MONTHS.values():
        for number, name in enumerate(months, 1):
            if len(text) >= 3 and (text.lower().startswith(name.lower()) or name.lower().startswith(text.lower())):
                return number
    return 0
