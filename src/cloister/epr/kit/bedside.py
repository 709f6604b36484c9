"""A chart that is open in this request: its banner and what the screens around one patient share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from cloister.epr.kit.module import Resource, Resources
from cloister.epr.kit.person import Allergy, Traits, allergy_of, traits_of
from cloister.epr.kit.visit import Visit
from cloister.records import Chart

ALLERGIES_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """The patient banner: fixed on top, on screens of one patient only."""

    traits: Traits
    allergies: tuple[Allergy, ...]  # the active ones
    none_recorded: bool  # 'no known allergy' was written down, which is not the same as nothing written down


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedside:
    visit: Visit
    chart: Chart
    id: str
    resources: Resources
    banner: Banner

    def page(self, template: str, *, tab: str | None = None, status: int = 200, **context: Any) -> HTMLResponse:
        tabs = [link for module in self.visit.modules for link in module.tabs if self.visit.may(link.roles)]
        actions = [link for module in self.visit.modules for link in module.actions if self.visit.may(link.roles)]
        return self.visit.page(template, status=status, banner=self.banner, patient=self.id, tab=tab, tabs=tabs, actions=actions, **context)

    def path(self, rest: str = "") -> str:
        return f"/patients/{self.id}{rest}"


async def open_bedside(request: Request, needs: Mapping[str, int] | None = None) -> Bedside:
    """Open the chart of the address's {id} and fetch all that a screen needs, in one call to the store."""
    visit = Visit.of(request)
    chart = await visit.records.open_chart(request.path_params["id"])
    limits = {"AllergyIntolerance": ALLERGIES_MAX, **(needs or {})}
    limits["AllergyIntolerance"] = max(ALLERGIES_MAX, limits["AllergyIntolerance"])
    found = await chart.summary(limits)
    resources = {kind: _bodies(stored) for kind, stored in found.items()}
    patient = chart.patient.resource or {}
    allergies = [allergy_of(resource) for resource in resources.get("AllergyIntolerance", ())]
    active = [allergy for allergy in allergies if allergy.status == "active"]
    banner = Banner(
        traits=traits_of(patient),
        allergies=tuple(sorted((allergy for allergy in active if not _negative(allergy)), key=lambda allergy: not allergy.severe)),
        none_recorded=any(_negative(allergy) for allergy in active),
    )
    return Bedside(visit=visit, chart=chart, id=chart.patient.id, resources=resources, banner=banner)


def _bodies(stored: Sequence[Any]) -> list[Resource]:
    return [item.resource for item in stored if item.resource is not None]


def _negative(allergy: Allergy) -> bool:
    text = allergy.substance.lower()
    return text.startswith(("no known", "aucune allergie", "pas d'allergie"))
