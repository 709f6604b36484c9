"""Whether anybody has asked to be told: remembered for a moment, and never against what was just written."""

from __future__ import annotations

from typing import Any

from cloister.records.definitions import type_numbers
from cloister.records.gate.asked import KEPT_SECONDS, SUBSCRIPTION, Asked


class Database:
    def __init__(self) -> None:
        self.any = False
        self.asked = 0
        self.meanwhile: Any = None

    async def fetchval(self, sql: str) -> bool:
        self.asked += 1
        answer = self.any
        if self.meanwhile is not None:
            self.meanwhile()
        return answer


async def test_nobody_is_remembered_for_a_moment() -> None:
    database, now = Database(), [10.0]
    asked = Asked(database, lambda: now[0])  # type: ignore[arg-type]
    assert not asked.nobody_lately()
    assert await asked.nobody()
    assert await asked.nobody()
    assert asked.nobody_lately()
    assert database.asked == 1
    now[0] += KEPT_SECONDS + 0.1
    assert not asked.nobody_lately()
    database.any = True
    assert not await asked.nobody()


async def test_a_subscription_written_just_now_counts_at_once() -> None:
    database = Database()
    asked = Asked(database, lambda: 10.0)  # type: ignore[arg-type]
    assert await asked.nobody()
    asked.somebody()
    assert not asked.nobody_lately()
    database.meanwhile = asked.somebody  # while PostgreSQL is asked
    assert not await asked.nobody()
    assert not asked.nobody_lately()


def test_the_number_is_the_type_s() -> None:
    assert type_numbers()["Subscription"] == SUBSCRIPTION
