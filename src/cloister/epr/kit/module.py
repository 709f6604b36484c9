"""How a module declares itself: what it reads, who sees it, its screens, its card on the chart, its events on the timeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.access import CLINICAL_ROLES
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.visit import Visit

Resource = Mapping[str, Any]
Resources = Mapping[str, Sequence[Resource]]
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A module's part of the chart's summary: drawn from resources that the chart fetched for all cards in one call."""

    template: str
    column: str  # 'main' or 'side'
    needs: Mapping[str, int]  # resource type to how many of the newest
    draw: Callable[[Resources, Visit], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the timeline."""

    kind: str  # the module's name
    at: Moment
    title: str
    detail: str = ""
    href: str = ""
    flag: str = ""  # 'abnormal' or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One address of a module; {id} is the patient. `key` is the keyboard shortcut of its link."""

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
    roles: frozenset[str] = CLINICAL_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that the shell or the chart shows for a screen; `label` is a key of the words."""

    path: str
    label: str
    key: str = ""
    roles: frozenset[str] = CLINICAL_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module of the record. `folder` holds its `templates/` and its `words/`."""

    name: str
    resources: frozenset[str]
    folder: Path
    screens: tuple[Screen, ...] = ()
    roles: frozenset[str] = CLINICAL_ROLES
    start: Handler | None = None  # the page at / for these roles
    top: tuple[Link, ...] = ()  # in the bar on top
    tabs: tuple[Link, ...] = ()  # under the patient's banner
    actions: tuple[Link, ...] = ()  # what can be added to a chart
    card: Card | None = None
    events: Callable[[Resources, Visit], Iterable[Event]] | None = None
    timeline: Mapping[str, int] = field(default_factory=dict)  # what `events` needs
