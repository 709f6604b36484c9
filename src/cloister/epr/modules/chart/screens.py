"""Summary and timeline. The chart knows no module by name: it draws the cards and events of those that the shell was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.bedside import open_bedside
from cloister.epr.kit.module import Event, Module
from cloister.epr.kit.visit import Visit

EVENTS_A_PAGE: Final = 150
PERIODS: Final[Mapping[str, timedelta | None]] = {
    "day": timedelta(hours=24),
    "week": timedelta(days=7),
    "year": timedelta(days=365),
    "all": None,
}


def _shown(visit: Visit) -> list[Module]:
    return [module for module in visit.modules if visit.may(module.roles)]


def _most(wanted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    limits: dict[str, int] = {}
    for needs in wanted:
        for kind, newest in needs.items():
            limits[kind] = max(newest, limits.get(kind, 0))
    return limits


async def show_summary(request: Request) -> Response:
    """Everything in one call to the store, whatever the number of cards."""
    visit = Visit.of(request)
    cards = [module.card for module in _shown(visit) if module.card]
    limits = _most(card.needs for card in cards)
    bedside = await open_bedside(request, limits)
    drawn = [(card, card.draw(bedside.resources, visit)) for card in cards]
    cut = sorted(kind for kind, newest in limits.items() if len(bedside.resources.get(kind, ())) >= newest)
    saved = request.query_params.get("saved", "")
    done = visit.words.or_else(f"{saved}.saved", "") if saved in {module.name for module in visit.modules} else ""
    return bedside.page(
        "chart/summary.html",
        tab="",
        main=[pair for pair in drawn if pair[0].column == "main"],
        side=[pair for pair in drawn if pair[0].column == "side"],
        cut=[(kind, limits[kind]) for kind in cut],
        done=done,
    )


async def show_timeline(request: Request) -> Response:
    visit = Visit.of(request)
    modules = [module for module in _shown(visit) if module.events]
    limits = _most(module.timeline for module in modules)
    bedside = await open_bedside(request, limits)
    events = [event for module in modules if module.events for event in module.events(bedside.resources, visit) if event.at]
    kinds = [(module.name, sum(1 for event in events if event.kind == module.name)) for module in modules]
    period = request.query_params.get("period", "all")
    period = period if period in PERIODS else "all"
    kind = request.query_params.get("kind", "")
    chosen = _chosen(events, kind if kind in dict(kinds) else "", PERIODS[period], visit.now)
    page = _page(request.query_params.get("page", ""), len(chosen))
    part = chosen[page * EVENTS_A_PAGE : (page + 1) * EVENTS_A_PAGE]
    context: dict[str, Any] = {
        "days": [(day, list(group)) for day, group in groupby(part, key=lambda event: event.at.day)],
        "kinds": kinds,
        "kind": kind,
        "period": period,
        "periods": tuple(PERIODS),
        "page": page,
        "more": (page + 1) * EVENTS_A_PAGE < len(chosen),
        "first": page * EVENTS_A_PAGE + 1,
        "last": page * EVENTS_A_PAGE + len(part),
        "total": len(chosen),
        "every": len(events),
    }
    if request.headers.get("hx-request") == "true":  # the next piece of the list only
        return visit.page("chart/events.html", patient=bedside.id, **context)
    return bedside.page("chart/timeline.html", tab="/timeline", **context)


def _chosen(events: list[Event], kind: str, period: timedelta | None, now: datetime) -> list[Event]:
    since = None if period is None else now - period
    chosen = [event for event in events if (not kind or event.kind == kind) and (since is None or event.at.order >= since)]
    return sorted(chosen, key=lambda event: event.at.order, reverse=True)


def _page(text: str, events: int) -> int:
    page = int(text) if text.isdigit() and len(text) < 6 else 0
    return min(page, max(0, -(-events // EVENTS_A_PAGE) - 1))
