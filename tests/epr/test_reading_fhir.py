"""What the screens make of FHIR as it comes: dates of every precision, names, ranges, numbers, trends."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from epr_cast import observation, patient

from cloister.epr import read_catalogue
from cloister.epr.kit.fhir import shown_number, text_of, value_text, when
from cloister.epr.kit.moment import Moment, age_parts, parse_day, parse_moment
from cloister.epr.kit.person import allergy_of, traits_of
from cloister.epr.kit.ranges import Range, flag_of, range_of
from cloister.epr.kit.trends import Line, Point, Trend, recent
from cloister.epr.kit.visit import KIT_FOLDER

WORDS = read_catalogue([KIT_FOLDER / "words"])
ENGLISH, FRENCH = WORDS.of("en"), WORDS.of("fr")


@pytest.mark.parametrize(
    ("text", "english", "french"),
    [
        ("2026-03-05", "05-Mar-2026", "05-mars-2026"),
        ("2026-03", "Mar-2026", "mars-2026"),
        ("2026", "2026", "2026"),
        ("2026-08-05T14:30:00Z", "05-Aug-2026 14:30", "05-août-2026 14:30"),
        ("", "", ""),
        ("yesterday", "", ""),
    ],
)
def test_a_date_is_shown_as_precisely_as_it_is_known_and_cannot_be_misread(text: str, english: str, french: str) -> None:
    if text.endswith("Z"):
        text = datetime(2026, 8, 5, 14, 30).astimezone().isoformat()
    assert ENGLISH.date(Moment(text)) == english
    assert FRENCH.date(Moment(text)) == french


@pytest.mark.parametrize("typed", ["2026-03-05", "05/03/2026", "5.3.2026", "05-Mar-2026", "5 mars 2026", "05-MAR-2026"])
def test_a_typed_date_is_the_day_before_the_month(typed: str) -> None:
    assert parse_day(typed) == date(2026, 3, 5)


@pytest.mark.parametrize(
    ("typed", "written"), [("2026", "2026"), ("mars 2026", "2026-03"), ("03/2026", "2026-03"), ("Feb-2020", "2020-02")]
)
def test_a_typed_date_keeps_its_precision(typed: str, written: str) -> None:
    assert parse_moment(typed) == written


@pytest.mark.parametrize("typed", ["31/02/2026", "05-Mxr-2026", "12 14:30", "2026 14:30", "05-Mar-26", "", "'; drop table"])
def test_what_is_no_date_is_not_guessed(typed: str) -> None:
    assert parse_moment(typed) == ""


@pytest.mark.parametrize(
    ("born", "age"),
    [("2026-11-20", (2, "d")), ("2026-10-20", (4, "w")), ("2025-11-20", (12, "m")), ("2024-11-22", (2, "y")), ("1958-03-05", (68, "y"))],
)
def test_a_baby_s_age_is_told_in_days_weeks_and_months(born: str, age: tuple[int, str]) -> None:
    assert age_parts(date.fromisoformat(born), date(2026, 11, 22)) == age


def test_mrs_lopez_is_named_as_the_banner_guide_asks() -> None:
    traits = traits_of(patient())
    assert traits.name(ENGLISH) == "LOPEZ, Maria (Mme)"
    assert traits.number == "258037511600123"
    assert traits.age(ENGLISH, date(2026, 11, 22)) == "68 y"


def test_somebody_of_whom_nothing_is_known_is_not_known_rather_than_blank() -> None:
    traits = traits_of({"resourceType": "Patient", "id": "x"})
    assert traits.name(ENGLISH) == "Not known"
    assert traits.sex(FRENCH) == "Inconnu"
    assert traits.age(ENGLISH, date(2026, 11, 22)) == ""


def test_a_name_that_came_as_one_text_is_shown_whole() -> None:
    assert traits_of({"name": [{"text": "Maria Lopez"}]}).name(ENGLISH) == "Maria Lopez"


def test_the_dead_keep_the_age_at_which_they_died() -> None:
    traits = traits_of(patient(deceasedDateTime="2008-03-04"))
    assert traits.deceased
    assert traits.age(ENGLISH, date(2026, 11, 22)) == "49 y"


def test_an_allergy_entered_in_error_is_not_an_active_allergy() -> None:
    code = {"coding": [{"code": "entered-in-error"}]}
    assert allergy_of({"code": {"text": "Latex"}, "verificationStatus": code}).status == "entered-in-error"


def test_a_high_result_is_flagged_by_the_laboratory_s_word_first_and_by_its_range_second() -> None:
    ranges = [{"low": {"value": 3.5}, "high": {"value": 5.1}}]
    assert flag_of(observation("1", "2823-3", 6.0, "2026-11-22", referenceRange=ranges)) == "H"
    assert flag_of(observation("1", "2823-3", 3.5, "2026-11-22", referenceRange=ranges)) == "", "the bound is inside"
    said = [{"coding": [{"code": "HH"}]}]
    assert flag_of(observation("1", "2823-3", 4.0, "2026-11-22", referenceRange=ranges, interpretation=said)) == "HH"
    assert (
        flag_of(observation("1", "2823-3", 9.0, "2026-11-22", interpretation=[{"coding": [{"code": "N"}]}]), Range(high=Decimal(5))) == ""
    )


def test_a_therapeutic_range_is_not_the_normal_one() -> None:
    ranges = [{"type": {"coding": [{"code": "therapeutic"}]}, "low": {"value": 10}}, {"high": {"value": 5}}]
    assert range_of({"referenceRange": ranges}).text == "≤ 5"


@pytest.mark.parametrize(
    ("value", "shown"), [(71.30000000001, "71.3"), (95.97, "95.97"), (1446.2, "1446"), (0.004, "0"), ("x", ""), (True, ""), (None, "")]
)
def test_a_number_is_shown_without_the_machine_s_tail(value: object, shown: str) -> None:
    assert shown_number(value) == shown


def test_odd_input_is_shown_as_far_as_it_goes_and_breaks_nothing() -> None:
    assert text_of(None) == text_of("x") == text_of({"coding": "x"}) == ""
    assert value_text({"valueQuantity": "x"}) == ""
    assert when({"resourceType": "Observation", "effectivePeriod": {"end": "2026-01-02"}}).text == "2026-01-02"
    assert not when({"resourceType": "Observation", "effectiveDateTime": "soon"})
    assert traits_of({"name": "x", "identifier": [7], "address": [{"line": None}]}).family == ""


def test_a_trend_says_what_it_shows_and_carries_no_script_or_style() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    points = [Point(start + timedelta(hours=hour), 37 + hour / 10, hour > 5) for hour in range(8)]
    svg = str(Trend(lines=(Line(points=points),), title="Température <script>", low=36, high=38).svg())
    assert "<title>Température &lt;script&gt;</title>" in svg
    assert "style=" not in svg
    assert svg.count("<polyline") == 1
    assert svg.count("trend-abnormal") == 3, "two dots on the line, and the newest"


def test_one_value_is_no_trend() -> None:
    assert str(Trend(lines=(Line(points=[Point(datetime(2026, 11, 20, tzinfo=UTC), 37.0)]),), title="x").svg()) == ""


def test_a_trend_shows_the_present_stay_and_does_not_squeeze_it_beside_last_year() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    points = [Point(now - timedelta(days=300), 1.0), *(Point(now - timedelta(hours=6 * step), 2.0) for step in range(6))]
    assert all(point.value == 2.0 for point in recent(points))


def test_plural_and_decimal_follow_the_language() -> None:
    assert (ENGLISH("kit.days", n=1), ENGLISH("kit.days", n=0), FRENCH("kit.days", n=0)) == ("1 day", "0 days", "0 jour")
    assert FRENCH.num("37.5") == "37,5"
    assert ENGLISH.span(3437) == "9 years"
