"""How many licences will be in use: the same hour of the same weekday, with the growth of the last weeks. Pure; docs/farm.md.

Deliberately simple, so that somebody who buys licences can check it by hand: for each hour ahead, the median of that hour in the last
weeks, times the median growth from week to week for each week ahead. How wrong that is, is measured: the method is asked for the
last week, from the weeks before it, and the 90th percentile of its errors is the margin that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from cloister.base.errors import NotFound

WEEK: Final = timedelta(days=7)
WEEKS_MIN, WEEKS_MAX = 2, 8
GROWTH_MAX: Final = 0.1  # a week: more is an opening or a closure, which no history foretells
AHEAD: Final = 28 * 24

Hours = dict[datetime, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Moments are UTC. `margin` is of the peak's own unit; `full` is when the seats are first expected to be all in use."""

    peak: int
    at: datetime
    margin: int
    growth: float  # a week; 0.01 is one percent more
    weeks: int  # of history
    full: datetime | None
    perhaps_full: datetime | None  # with the margin added


def forecast(history: Sequence[tuple[datetime, int]], seats: int, *, now: datetime) -> Forecast:
    """From (moment, most in use about then). Raises NotFound when two weeks are not known yet."""
    hours = hourly(history)
    weeks = _weeks(hours, now)
    growth = _growth(hours, now, weeks)
    ahead = _ahead(hours, now, weeks, growth, AHEAD)
    margin = _error(hours, now, weeks)
    at = max(ahead, key=lambda hour: (ahead[hour], -hour.timestamp()))
    return Forecast(
        peak=round(ahead[at]),
        at=at,
        margin=round(margin),
        growth=growth,
        weeks=weeks,
        full=next((hour for hour, value in ahead.items() if value >= seats), None),
        perhaps_full=next((hour for hour, value in ahead.items() if value + margin >= seats), None),
    )


def expected(history: Sequence[tuple[datetime, int]], *, now: datetime, ahead: int) -> list[tuple[datetime, float]]:
    """The same reckoning as a curve: (hour, in use) for so many hours to come; empty when two weeks are not known yet."""
    hours = hourly(history)
    try:
        weeks = _weeks(hours, now)
    except NotFound:
        return []
    return list(_ahead(hours, now, weeks, _growth(hours, now, weeks), ahead).items())


def _weeks(hours: Mapping[datetime, int], now: datetime) -> int:
    first = min(hours, default=now)
    weeks = min(WEEKS_MAX, (now - first) // WEEK)
    if weeks < WEEKS_MIN:
        text = f"Of this application's licences {(now - first).days} days are known; a forecast needs {WEEKS_MIN * 7}."
        raise NotFound(text, hint="The farm samples the use by itself; ask again later.", reason="history")
    return weeks


def _ahead(hours: Mapping[datetime, int], now: datetime, weeks: int, growth: float, count: int) -> dict[datetime, float]:
    start = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return {hour: _expected(hours, hour, now, weeks, growth) for hour in (start + timedelta(hours=n) for n in range(count))}


def hourly(history: Sequence[tuple[datetime, int]]) -> Hours:
    found: Hours = {}
    for at, used in history:
        hour = at.replace(minute=0, second=0, microsecond=0)
        found[hour] = max(found.get(hour, 0), used)
    return found


def _expected(hours: Mapping[datetime, int], hour: datetime, known_until: datetime, weeks: int, growth: float) -> float:
    """Each earlier week's value is first brought to today's level, then all the way to the hour asked for."""
    values = []
    for back in range(1, weeks + 8):
        earlier = hour - back * WEEK
        if earlier >= known_until:
            continue
        if known_until - earlier > weeks * WEEK:
            break
        if earlier in hours:
            values.append(hours[earlier] * (1 + growth) ** back)
    return float(median(values)) if values else 0.0


def _growth(hours: Mapping[datetime, int], until: datetime, weeks: int) -> float:
    peaks = [
        max((used for hour, used in hours.items() if until - n * WEEK <= hour < until - (n - 1) * WEEK), default=0)
        for n in range(1, weeks + 1)
    ]
    ratios = [newer / older - 1 for newer, older in zip(peaks, peaks[1:], strict=False) if older]
    return min(GROWTH_MAX, max(-GROWTH_MAX, median(ratios))) if ratios else 0.0


def _error(hours: Mapping[datetime, int], now: datetime, weeks: int) -> float:
    """The 90th percentile of how wrong the method was in the last week."""
    then = now - WEEK
    growth = _growth(hours, then, weeks - 1)
    errors = sorted(abs(_expected(hours, hour, then, weeks - 1, growth) - used) for hour, used in hours.items() if then <= hour < now)
    return errors[int(0.9 * (len(errors) - 1))] if errors else 0.0
