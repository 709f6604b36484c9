"""Which kind of day a date is: its weekday, or a holiday, public or the trust's own. Pure but for the tables of package `holidays`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

import holidays

from cloister.base.errors import Invalid

HOLIDAY: Final = 7  # beside the weekdays, 0 to 6
KINDS: Final = 8
OWN_MAX: Final = 400

for (
    _code
) in holidays.list_supported_countries():  # a country's table is loaded when it is first asked for, and a controller loads nothing later
    holidays.country_holidays(_code)


@dataclass(frozen=True, slots=True)
class Calendar:
    """`country`: ISO 3166-1, or a part of it by ISO 3166-2 such as FR-57; empty: no public holidays. `own`: further dates."""

    country: str = ""
    own: frozenset[date] = field(default_factory=frozenset)

    def kind(self, day: date) -> int:
        return HOLIDAY if day in self.own or day in _public(self.country, day.year) else day.weekday()

    def holidays(self, first: date, last: date) -> list[date]:
        """Those from `first` to `last`, both included."""
        return [day for day in (first + timedelta(days=n) for n in range((last - first).days + 1)) if self.kind(day) == HOLIDAY]


NO_HOLIDAYS: Final = Calendar()


@lru_cache(maxsize=256)
def _public(country: str, year: int) -> frozenset[date]:
    if not country:
        return frozenset()
    code, _, part = country.partition("-")
    return frozenset(holidays.country_holidays(code, subdiv=part or None, years=year))


def country_from(value: Any) -> str:
    """As it is written in a policy; Invalid when there is no such country, or nobody knows its holidays."""
    if value == "":
        return ""
    code, _, part = value.partition("-") if isinstance(value, str) else ("", "", "")
    known = holidays.list_supported_countries()
    if code not in known or len(code) != 2 or (part and part not in known[code]):
        raise Invalid(
            f"'{str(value)[:20]}' is no country whose holidays are known.",
            hint="Such as FR, or FR-57 for Moselle; '' for none.",
            reason="country",
        )
    return str(value)


def dates_from(value: Any) -> tuple[str, ...]:
    """Dates of the trust's own, ISO 8601, in order."""
    if not isinstance(value, list | tuple) or len(value) > OWN_MAX:
        raise Invalid("'own_holidays' is no list of dates.", hint=f"At most {OWN_MAX}, such as 2026-12-24.", reason="own-holidays")
    try:
        return tuple(sorted({date.fromisoformat(one).isoformat() for one in value}))
    except (TypeError, ValueError):
        raise Invalid("A date of 'own_holidays' is no date.", hint="Write it as 2026-12-24.", reason="own-holidays") from None


def calendar(country: str, own: Sequence[str]) -> Calendar:
    return Calendar(country, frozenset(date.fromisoformat(one) for one in own))
