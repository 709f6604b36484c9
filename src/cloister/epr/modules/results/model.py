"""Results as a grid: one line a test, one column a day, the newest on the left; values outside their range are flagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.bedside import open_bedside
from cloister.epr.kit.fhir import LOINC, code_of, dig, in_category, newest_first, number, text_of, unit_of, value_text, when
from cloister.epr.kit.module import Event, Resource, Resources
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.ranges import Range, flag_of, range_of
from cloister.epr.kit.trends import Line, Point, Trend, recent
from cloister.epr.kit.visit import Visit
from cloister.epr.kit.words import Words

NEEDS: Final = {"Observation": 500}
NOT_DONE: Final = frozenset({"entered-in-error", "cancelled", "registered"})
CARD_TESTS: Final = 14
GRID_DAYS: Final = 8
CATEGORIES: Final = ("laboratory", "exam", "procedure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    key: str  # LOINC code and unit: values in different units are different lines
    name: str
    text: str
    unit: str
    flag: str
    usual: Range
    at: Moment
    value: float | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """All results of one test, newest first."""

    name: str
    unit: str
    usual: str
    results: Sequence[Result]
    trend: Markup

    @property
    def last(self) -> Result:
        return self.results[0]

    @property
    def before(self) -> Result | None:
        return self.results[1] if len(self.results) > 1 else None


def results_of(observations: Iterable[Resource]) -> list[Result]:
    """Laboratory results with a value, newest first."""
    chosen = [item for item in observations if in_category(item, "laboratory") and item.get("status") not in NOT_DONE]
    return [_result(item) for item in newest_first(chosen)]


def _result(observation: Resource) -> Result:
    quantity = observation.get("valueQuantity")
    unit = unit_of(quantity)
    name = text_of(observation.get("code"))
    value = number(dig(quantity, "value"))
    return Result(
        key=f"{code_of(observation.get('code'), LOINC) or name}|{unit}",
        name=name,
        text=value_text(observation),
        unit=unit,
        flag=flag_of(observation),
        usual=range_of(observation),
        at=when(observation),
        value=None if value is None else float(value),
        status=str(observation.get("status") or ""),
    )


def tests_of(results: Sequence[Result], words: Words) -> list[Test]:
    """One line a test, the most recently measured first."""
    series: dict[str, list[Result]] = {}
    for result in results:
        series.setdefault(result.key, []).append(result)
    return [_test(one, words) for one in series.values()]


def _test(results: Sequence[Result], words: Words) -> Test:
    last = results[0]
    points = recent(
        [Point(result.at.order, result.value, bool(result.flag)) for result in results if result.value is not None and result.at]
    )
    trend = Trend(
        lines=(Line(points=points),),
        title=words("results.trend", name=last.name, n=len(points)),
        low=None if last.usual.low is None else float(last.usual.low),
        high=None if last.usual.high is None else float(last.usual.high),
        height=26,
        width=110,
    )
    return Test(name=last.name, unit=last.unit, usual=last.usual.text, results=results, trend=trend.svg())


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    """The newest tests; flagged ones never fall off the card."""
    tests = tests_of(results_of(resources.get("Observation", ())), visit.words)
    shown = tests[:CARD_TESTS]
    shown += [test for test in tests[CARD_TESTS:] if test.last.flag][:CARD_TESTS]
    return {"tests": shown, "total": len(tests), "flagged": sum(1 for test in tests if test.last.flag)}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for result in results_of(resources.get("Observation", ())):
        yield Event(
            kind="results",
            at=result.at,
            title=result.name,
            detail=f"{visit.words.num(result.text)} {result.unit}".strip(),
            flag="abnormal" if result.flag else "",
        )


async def show_results(request: Request) -> Response:
    bedside = await open_bedside(request, {"Observation": 3000})
    tests = tests_of(results_of(bedside.resources.get("Observation", ())), bedside.visit.words)
    wanted = request.query_params.get("flagged") == "1"
    shown = [test for test in tests if test.last.flag] if wanted else tests
    days = sorted({result.at.day for test in shown for result in test.results if result.at.day}, reverse=True)
    page = _page(request.query_params.get("page", ""), len(days))
    columns = days[page * GRID_DAYS : (page + 1) * GRID_DAYS]
    grid = []
    for test in shown:
        cells = {day: [result for result in test.results if result.at.day == day] for day in columns}
        if any(cells.values()):
            grid.append((test, cells))
    return bedside.page(
        "results/grid.html",
        tab="/results",
        grid=grid,
        days=columns,
        page=page,
        pages=max(1, -(-len(days) // GRID_DAYS)),
        flagged=wanted,
        total=len(tests),
        hidden=len(tests) - len(shown),
    )


def _page(text: str, days: int) -> int:
    page = int(text) if text.isdigit() and len(text) < 6 else 0
    return min(page, max(0, -(-days // GRID_DAYS) - 1))
