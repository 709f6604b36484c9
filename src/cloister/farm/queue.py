"""The waiting queue: who came first, goes first; emergencies before all others. Pure.

Somebody is in the queue while they ask: who has not asked for ASKED_WITHIN has gone, and holds nobody up. As many may try at once
as there is room for, so that the queue moves with the farm and not with its first person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloister.base.errors import Busy

ASKED_WITHIN: Final = timedelta(seconds=15)
ASK_AGAIN_SECONDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    person: str
    application: str
    label: str
    emergency: bool
    number: int  # grows with each arrival
    since: datetime
    asked: datetime
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.person, self.application, self.label)

    @property
    def order(self) -> tuple[bool, int]:
        return (not self.emergency, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """1 is next. `since`: when the person came into the queue."""

    place: int
    of: int
    since: datetime


def place_of(mine: Waiting, queue: Iterable[Waiting], now: datetime) -> QueuePlace:
    asking = [one for one in queue if one.application == mine.application and now - one.asked < ASKED_WITHIN and one.key != mine.key]
    return QueuePlace(place=1 + sum(one.order < mine.order for one in asking), of=1 + len(asking), since=mine.since)


class Wait(Busy):
    """Everything is taken for now; the person's place is kept while they go on asking."""

    def __init__(self, why: Busy, place: QueuePlace) -> None:
        text = f"{why.text} You are number {place.place:,} of {place.of:,} waiting."
        super().__init__(text, hint=why.hint, reason=why.reason, expression=str(ASK_AGAIN_SECONDS))
        self.why = why
        self.place = place
