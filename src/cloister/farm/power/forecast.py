"""What the next hours bring, learnt from the last weeks: sessions held and sessions begun, by kind of day and five minutes. Pure.

The shape of the day comes from former days; its height from now. So a Monday like other Mondays is known before
it begins, and a day of an epidemic is followed within minutes. A holiday is a kind of its own, beside the seven weekdays: it neither
is as its weekday, nor is that weekday's mean spoilt by it. Of holidays a year is kept, because four weeks have few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cloister.farm.power.calendar import HOLIDAY, KINDS, NO_HOLIDAYS, Calendar

STEP_SECONDS: Final = 300
STEP: Final = timedelta(seconds=STEP_SECONDS)
SLOTS: Final = 288
DAYS_KEPT: Final = 28
HOLIDAYS_KEPT: Final = 400  # days
HEIGHT_LOW, HEIGHT_HIGH = 0.6, 1.6  # further than this from former days is taken for a fault of the samples
SESSIONS_TO_TRUST: Final = 50.0  # so many sessions weigh as much as the former days


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Five minutes of one group: sessions held at their end, sessions begun during them."""

    at: datetime
    held: int
    begun: int


@dataclass(frozen=True, slots=True)
class Slot:
    held: float
    begun: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a moment in the future is expected to bring, counted from now."""

    begun: float  # sessions that begin until then
    ended: float  # sessions that end until then


class Forecast:
    """`days`: kind of day -> its 288 slots; kinds that were never seen borrow from their like."""

    def __init__(self, days: dict[int, list[Slot]], zone: str, calendar: Calendar = NO_HOLIDAYS) -> None:
        self._days = days
        self._zone = ZoneInfo(zone)
        self._calendar = calendar

    @property
    def knows(self) -> bool:
        return bool(self._days)

    def slot(self, moment: datetime) -> Slot | None:
        local = moment.astimezone(self._zone)
        day = self._days.get(self._calendar.kind(local.date()))
        return None if day is None else day[local.hour * 12 + local.minute // 5]

    def held(self, moment: datetime) -> float | None:
        """Sessions held on former days at this moment, between two slots in proportion."""
        slot, after = self.slot(moment - STEP), self.slot(moment)
        if slot is None or after is None:
            return None
        share = moment.timestamp() % STEP_SECONDS / STEP_SECONDS
        return slot.held + (after.held - slot.held) * share

    def height(self, now: datetime, held: int) -> float:
        """How much today stands above former days; few sessions say little."""
        usual = self.held(now)
        if usual is None:
            return 1.0
        return min(HEIGHT_HIGH, max(HEIGHT_LOW, (held + SESSIONS_TO_TRUST) / (usual + SESSIONS_TO_TRUST)))

    def ahead(self, now: datetime, until: datetime, height: float) -> Ahead:
        """Nothing, when nothing was learnt: then buffers must do."""
        begun, moment = 0.0, now
        while moment < until:
            slot = self.slot(moment)
            if slot is None:
                return Ahead(begun=0.0, ended=0.0)
            upto = min(until, moment + timedelta(seconds=STEP_SECONDS - moment.timestamp() % STEP_SECONDS))
            begun += slot.begun * ((upto - moment) / STEP)
            moment = upto
        before, after = self.held(now), self.held(until)
        change = 0.0 if before is None or after is None else after - before
        return Ahead(begun=begun * height, ended=max(0.0, begun - change) * height)


def learn(samples: Iterable[Sample], *, now: datetime, zone: str, calendar: Calendar = NO_HOLIDAYS) -> Forecast:
    """From the last four weeks, and the holidays of the last year; the mean of the same kind of day, the last two weeks weighing more."""
    place, oldest, oldest_holiday = ZoneInfo(zone), now - timedelta(days=DAYS_KEPT), now - timedelta(days=HOLIDAYS_KEPT)
    sums: dict[tuple[int, int], list[float]] = {}
    for sample in samples:
        # A sample is of the five minutes that end at its time.
        local = (sample.at - STEP).astimezone(place)
        day = calendar.kind(local.date())
        if (oldest_holiday if day == HOLIDAY else oldest) <= sample.at < now:
            weight = 1.0 if sample.at >= now - timedelta(days=DAYS_KEPT // 2) else 0.5
            one = sums.setdefault((day, local.hour * 12 + local.minute // 5), [0.0, 0.0, 0.0])
            one[0] += weight
            one[1] += weight * sample.held
            one[2] += weight * sample.begun
    seen = {day: _whole_day(day, sums) for day in {day for day, _ in sums}}
    return Forecast({day: seen[like] for day in range(KINDS) if (like := _like(day, set(seen))) is not None}, zone, calendar)


def _whole_day(day: int, sums: dict[tuple[int, int], list[float]]) -> list[Slot]:
    """All slots; one without a sample is as the one before it."""
    slots: list[Slot] = []
    last = Slot(0.0, 0.0)
    for number in range(SLOTS):
        found = sums.get((day, number))
        if found is not None:
            last = Slot(found[1] / found[0], found[2] / found[0])
        slots.append(last)
    return slots


def _like(day: int, seen: set[int]) -> int | None:
    """The same kind, else another of its like (working day, or week-end and holiday), else any."""
    kind = range(5) if day < 5 else range(5, KINDS)
    for candidates in ({day} & seen, set(kind) & seen, seen):
        if candidates:
            return min(candidates, key=lambda other: (abs(other - day), other))
    return None
