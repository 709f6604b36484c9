"""Maintenance windows: when a group's servers are emptied and started anew by themselves. Pure: says what is due now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloister.base.errors import Invalid
from cloister.farm.power.policy import DAYS, minute_of

MINUTES_MAX: Final = 720


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Weekly or on one date, in local time of `zone`. Work begins within it and goes on until it is done."""

    id: str
    group: str
    days: tuple[str, ...] = ()  # of the week; or
    on: date | None = None  # one date
    start: int  # minutes since local midnight
    minutes: int  # how long work may begin
    zone: str = "Europe/Paris"
    percent: int = 10  # of the group out at once
    deadline: int = 3600  # seconds that people have to finish
    message: str = ""
    restart: bool = True  # start each server anew; else it waits for `undrain`

    def began(self, now: datetime) -> datetime | None:
        """The beginning of the window that `now` is in, or None. A window may pass midnight."""
        place = ZoneInfo(self.zone)
        local = now.astimezone(place)
        for day in (local.date(), local.date() - timedelta(days=1)):
            # By the clock on the wall: 02:00 is 02:00 on the days on which clocks change, too.
            begins = datetime(day.year, day.month, day.day, self.start // 60 % 24, self.start % 60, tzinfo=place)
            fits = day == self.on if self.on is not None else DAYS[day.weekday()] in self.days
            if fits and begins <= now < begins + timedelta(minutes=self.minutes):
                return begins
        return None


def due(windows: Sequence[Window], last: Mapping[str, datetime], *, now: datetime) -> list[Window]:
    """Windows that are open and whose work has not begun in this opening; `last`: when each last began work."""
    found = []
    for window in windows:
        began = window.began(now)
        if began is not None and not (window.id in last and last[window.id] >= began):
            found.append(window)
    return found


def window_from(raw: Mapping[str, Any]) -> Window:
    """From a command line or a row; Invalid names what is wrong."""
    days, on, zone = tuple(raw.get("days") or ()), raw.get("on"), str(raw.get("zone") or "Europe/Paris")
    if bool(days) == (on is not None) or not set(days) <= set(DAYS):
        raise Invalid("A window is on days of the week, or on one date.", hint=f"Days are {', '.join(DAYS)}; a date is 2026-12-24.")
    minutes, percent, deadline = (int(raw.get(name, usual)) for name, usual in (("minutes", 120), ("percent", 10), ("deadline", 3600)))
    if not 5 <= minutes <= MINUTES_MAX or not 1 <= percent <= 100 or not 0 <= deadline <= 86_400:
        raise Invalid(
            "A window's length, percentage or deadline is out of bounds.",
            hint=f"5 to {MINUTES_MAX} minutes, 1 to 100 %, a deadline of at most a day.",
        )
    try:
        ZoneInfo(zone)
        day = date.fromisoformat(on) if isinstance(on, str) else on
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("A window's date or time zone cannot be read.", hint="Write 2026-12-24 and Europe/Paris.") from None
    return Window(
        id=str(raw["id"]), group=str(raw["group"]), days=days, on=day, start=minute_of(raw["start"]), minutes=minutes, zone=zone,
        percent=percent, deadline=deadline, message=str(raw.get("message") or "")[:500], restart=bool(raw.get("restart", True)),
    )  # fmt: skip
