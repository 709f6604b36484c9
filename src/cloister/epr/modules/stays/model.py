"""Encounter as a stay or a visit: http://hl7.org/fhir/R4/encounter.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.bedside import open_bedside
from cloister.epr.kit.fhir import dig, display_of, each, newest_first, text_of
from cloister.epr.kit.module import Event, Resource, Resources
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.visit import Visit

NEEDS: Final = {"Encounter": 300}
CARD_STAYS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    kind: str  # v3 ActCode: IMP, EMER, AMB...
    text: str
    place: str
    reason: str
    status: str
    start: Moment
    end: Moment
    by: str

    @property
    def current(self) -> bool:
        return self.status in ("in-progress", "arrived", "triaged", "onleave")


def stay_of(resource: Resource) -> Stay:
    places = [display_of(item.get("location")) for item in each(resource, "location")]
    reasons = [text_of(item) for item in each(resource, "reasonCode")]
    kinds = [text_of(item) for item in each(resource, "type")]
    people = [display_of(item.get("individual")) for item in each(resource, "participant")]
    return Stay(
        kind=str(dig(resource, "class", "code") or ""),
        text=", ".join(text for text in kinds if text),
        place=" · ".join(text for text in places if text) or display_of(resource.get("serviceProvider")),
        reason=", ".join(text for text in reasons if text),
        status=str(resource.get("status") or ""),
        start=Moment(str(dig(resource, "period", "start") or "")),
        end=Moment(str(dig(resource, "period", "end") or "")),
        by=", ".join(text for text in people if text),
    )


def stays_of(resources: Resources) -> list[Stay]:
    """Newest first, those that go on before all others."""
    stays = [stay_of(resource) for resource in newest_first(resources.get("Encounter", ()))]
    stays = [stay for stay in stays if stay.status != "entered-in-error"]
    return sorted(stays, key=lambda stay: not stay.current)


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    stays = stays_of(resources)
    return {"stays": stays[:CARD_STAYS], "total": len(stays)}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    words = visit.words
    for stay in stays_of(resources):
        title = words.or_else(f"stays.kind.{stay.kind}", stay.kind or words("stays.kind.other"))
        yield Event(
            kind="stays", at=stay.start, title=title, detail=" · ".join(part for part in (stay.place, stay.reason or stay.text) if part)
        )


async def show_stays(request: Request) -> Response:
    bedside = await open_bedside(request, {"Encounter": 2000})
    return bedside.page("stays/list.html", stays=stays_of(bedside.resources))
