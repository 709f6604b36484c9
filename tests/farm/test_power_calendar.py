"""Holidays are days of their own kind: neither as their weekday, nor spoiling what is known of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cloister.base.errors import Invalid
from cloister.farm.power.calendar import HOLIDAY, calendar
from cloister.farm.power.forecast import DAYS_KEPT, Forecast, Sample, learn
from cloister.farm.power.policy import PowerPolicy, policy_from

FRANCE = calendar("FR", ("2026-12-24",))
ALL_SAINTS = date(2026, 11, 1)  # a Sunday; the day of the dead that follows is no holiday
ARMISTICE = date(2026, 11, 11)  # a Wednesday
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, 2, tzinfo=UTC)


def history(first: date, last: date) -> list[Sample]:
    """At noon 100 sessions on a working day, 30 at a week-end, 20 on a holiday."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    held = {day: 20 if FRANCE.kind(day) == HOLIDAY else 100 if day.weekday() < 5 else 30 for day in days}
    return [Sample(at=noon(day).replace(minute=5), held=held[day], begun=0) for day in days]


def learnt(since: date, **options: Any) -> Forecast:
    return learn(history(since, date(2026, 11, 29)), now=NOW, zone="UTC", **options)


@pytest.mark.parametrize(
    ("country", "day", "kind"),
    [
        ("FR", date(2026, 5, 14), HOLIDAY),  # Ascension
        ("FR", date(2026, 12, 24), HOLIDAY),  # the trust's own
        ("FR", date(2026, 12, 26), 5),
        ("FR-57", date(2026, 12, 26), HOLIDAY),
        ("FR", ALL_SAINTS, HOLIDAY),
        ("FR", date(2026, 11, 2), 0),
        ("", ARMISTICE, 2),
        ("", date(2026, 12, 24), HOLIDAY),
    ],
)
def test_public_holidays_of_the_country_or_a_part_of_it_and_own_dates(country: str, day: date, kind: int) -> None:
    assert calendar(country, ("2026-12-24",)).kind(day) == kind


def test_the_eleventh_of_november_does_not_make_the_wednesdays_after_it_quieter() -> None:
    wednesday = noon(date(2026, 12, 2)) + timedelta(minutes=3)
    spoilt, known = learnt(date(2026, 11, 2)).slot(wednesday), learnt(date(2026, 11, 2), calendar=FRANCE).slot(wednesday)
    assert spoilt is not None
    assert known is not None
    assert (round(spoilt.held), round(known.held)) == (87, 100)


def test_christmas_is_foreseen_as_the_holidays_of_the_last_year_were() -> None:
    christmas, working = date(2026, 12, 25), date(2026, 12, 23)
    found = learnt(date(2025, 12, 1), calendar=FRANCE)
    slots = [found.slot(noon(day)) for day in (christmas, date(2026, 12, 24), working)]
    assert [slot and round(slot.held) for slot in slots] == [20, 20, 100]


def test_a_holiday_before_any_was_seen_is_as_a_sunday() -> None:
    found = learn(history(date(2026, 11, 16), date(2026, 11, 29)), now=NOW, zone="UTC", calendar=FRANCE)
    slot = found.slot(noon(date(2026, 12, 25)))
    assert slot is not None
    assert slot.held == 30


def test_only_holidays_are_remembered_longer_than_the_weeks() -> None:
    old = [one for one in history(date(2026, 1, 1), date(2026, 10, 1)) if one.at < NOW - timedelta(days=DAYS_KEPT)]
    found = learn(old, now=NOW, zone="UTC", calendar=FRANCE)
    slot = found.slot(noon(date(2026, 12, 2)))
    assert slot is not None
    assert slot.held == 20, "nothing is known but holidays"


def test_spans_may_be_for_holidays_which_are_as_sundays_otherwise() -> None:
    office = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "07:00", "end": "19:00", "ready": 9, "buffer": 0.2}
    sunday = {**office, "days": ["sun"], "ready": 3}
    rest = {**office, "days": ["holiday"], "ready": 1}
    at = datetime(2026, 11, 11, 9, 0, tzinfo=UTC)
    assert policy_from({"spans": [office, sunday]}).at(at)[0] == 3
    assert policy_from({"spans": [office, sunday, rest]}).at(at)[0] == 1
    assert policy_from({"spans": [office, sunday, rest], "country": ""}).at(at)[0] == 9


@pytest.mark.parametrize(
    "raw",
    [{"country": "France"}, {"country": "FR-99"}, {"country": 33}, {"own_holidays": ["24.12.2026"]}, {"own_holidays": "2026-12-24"}],
)
def test_what_is_no_country_or_date_is_refused_with_an_example(raw: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        policy_from(raw)
    assert "Such as FR" in refused.value.hint or "2026-12-24" in refused.value.hint


def test_own_dates_come_back_from_their_json_in_order() -> None:
    policy = policy_from({"own_holidays": ["2026-12-31", "2026-12-24", "2026-12-24"]})
    assert policy.own_holidays == ("2026-12-24", "2026-12-31")
    assert policy_from(policy.as_json()) == policy
    assert policy_from(PowerPolicy().as_json()) == PowerPolicy()
