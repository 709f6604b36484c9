"""What a group of servers wants of its power: a minimum, buffers, spans of the week, patience. Kept as JSON, checked when read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloister.base.errors import Invalid
from cloister.farm.power.calendar import HOLIDAY, Calendar, calendar, country_from, dates_from

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")  # a holiday is no weekday
SUNDAY: Final = 6
SPANS_MAX: Final = 28
MINUTES_A_DAY: Final = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the week with its own minimum and buffer; `end` is not part of it. Minutes since local midnight."""

    days: tuple[str, ...]
    start: int
    end: int
    ready: int  # servers that are ready at least
    buffer: float  # room beyond the sessions that are expected, as a share of them

    def holds(self, day: int, minute: int) -> bool:
        return DAYS[day] in self.days and self.start <= minute < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPolicy:
    """One group's. `ready` and `buffer` hold outside all spans (off-peak). Times in seconds."""

    ready: int = 2
    buffer: float = 0.10
    spare: int = 1  # further ready servers, for one that dies
    spans: tuple[Span, ...] = ()
    zone: str = "Europe/Paris"
    country: str = "FR"  # whose public holidays are days of their own kind; FR-57 for a part; empty: none
    own_holidays: tuple[str, ...] = ()  # further dates, ISO 8601
    boot: int = 300  # from the order to the hello; learnt values replace it
    boot_max: int = 900  # later than this, a start has failed
    stop_max: int = 300
    on_min: int = 1800  # a server that was started stays at least so long
    cool_down: int = 600  # how long servers must have been too many before one is emptied
    hold: int = 3600  # servers that will be wanted again so soon are kept
    leave: int = 300  # on a server that is being emptied, a session that nobody looks at ends after this
    deadline: int = 0  # people still there are asked to move after this; 0: never, they go when they go
    starts_at_once: int = 50  # in one turn: mains and boot servers have limits
    retry: int = 600  # before a machine that failed is tried again
    failures_max: int = 3  # after so many, a person must look

    def at(self, moment: datetime) -> tuple[int, float]:
        """(servers ready at least, buffer) at this moment; the first span that holds decides."""
        local = moment.astimezone(ZoneInfo(self.zone))
        day = self.calendar.kind(local.date())
        if day == HOLIDAY and not any(DAYS[HOLIDAY] in span.days for span in self.spans):
            day = SUNDAY  # whoever wrote spans and none for holidays means that these are as Sundays
        for span in self.spans:
            if span.holds(day, local.hour * 60 + local.minute):
                return span.ready, span.buffer
        return self.ready, self.buffer

    @property
    def calendar(self) -> Calendar:
        return calendar(self.country, self.own_holidays)

    def least_between(self, now: datetime, until: datetime) -> int:
        """The most that any span between the two asks for, so that a minimum is there when its span begins."""
        moments = [now, until] + [now + timedelta(minutes=m) for m in range(5, int((until - now).total_seconds() // 60), 5)]
        return max(self.at(moment)[0] for moment in moments)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "spans": [asdict(span) for span in self.spans]}


LIMITS: Final = {
    "ready": (0, 10_000), "spare": (0, 1000), "boot": (1, 7200), "boot_max": (1, 14_400), "stop_max": (1, 14_400), "on_min": (0, 86_400),
    "cool_down": (0, 86_400), "hold": (0, 86_400), "leave": (0, 86_400), "deadline": (0, 604_800), "starts_at_once": (1, 10_000),
    "retry": (1, 86_400), "failures_max": (1, 100),
}  # fmt: skip


def policy_from(raw: Mapping[str, Any]) -> PowerPolicy:
    """The policy that this JSON describes; Invalid names the member that is wrong."""
    names = {field.name for field in fields(PowerPolicy)}
    if unknown := sorted(set(raw) - names):
        raise Invalid(f"A power policy has no '{unknown[0]}'.", hint=f"It has: {', '.join(sorted(names))}.")
    given = dict(raw)
    for name, (low, high) in LIMITS.items():
        if name in given:
            given[name] = _whole(name, given[name], low, high)
    if "buffer" in given:
        given["buffer"] = _share(given["buffer"])
    if "country" in given:
        given["country"] = country_from(given["country"])
    if "own_holidays" in given:
        given["own_holidays"] = dates_from(given["own_holidays"])
    if "spans" in given:
        given["spans"] = _spans(given["spans"])
    policy = PowerPolicy(**given)
    _assert_zone(policy.zone)
    if policy.boot_max < policy.boot:
        raise Invalid("'boot_max' is less than 'boot'.", hint="A start may take at least as long as it usually takes.")
    return policy


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"'{name}' of a power policy is '{str(value)[:40]}'.", hint=f"A whole number from {low} to {high}.")
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 5:
        raise Invalid(f"A buffer is '{str(value)[:40]}'.", hint="A share such as 0.1, from 0 to 5.")
    return float(value)


def _spans(raw: Any) -> tuple[Span, ...]:
    if not isinstance(raw, list) or len(raw) > SPANS_MAX:
        raise Invalid("'spans' is no list of spans.", hint=f"At most {SPANS_MAX}, each with days, start, end, ready, buffer.")
    return tuple(_span(one) for one in raw)


def _span(raw: Any) -> Span:
    if not isinstance(raw, dict) or set(raw) != {"days", "start", "end", "ready", "buffer"}:
        raise Invalid("A span is not whole.", hint="It has days, start, end, ready and buffer.")
    days = raw["days"]
    if not isinstance(days, list | tuple) or not days or not set(days) <= set(DAYS):
        raise Invalid("A span's days are no days.", hint=f"Some of {', '.join(DAYS)}.")
    start, end = minute_of(raw["start"]), minute_of(raw["end"])
    if start >= end:
        raise Invalid("A span ends before it starts.", hint="Write a span over midnight as two.")
    return Span(days=tuple(days), start=start, end=end, ready=_whole("ready", raw["ready"], 0, 10_000), buffer=_share(raw["buffer"]))


def minute_of(value: Any) -> int:
    """'07:30', '24:00' or minutes since midnight, as minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_A_DAY:
        return value
    hours, colon, minutes = str(value).partition(":")
    if colon and hours.isdigit() and minutes.isdigit() and int(minutes) < 60 and int(hours) * 60 + int(minutes) <= MINUTES_A_DAY:
        return int(hours) * 60 + int(minutes)
    raise Invalid(f"'{str(value)[:20]}' is no time of day.", hint="Write it as 07:30.")


def _assert_zone(name: Any) -> None:
    try:
        ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"'{str(name)[:40]}' is no time zone.", hint="Such as Europe/Paris.") from None
