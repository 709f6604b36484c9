"""Questions of several sessions, put into one statement: everybody gets the own answer, and nobody an answer of other zones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from cloister.base.errors import Unavailable
from cloister.records.gate.together import ASKED_MAX, Together

WARD, OTHER = ("ward",), ("other", "ward")


class Asked:
    """A database that notes what it is asked, and answers with the zones and the question."""

    def __init__(self) -> None:
        self.statements: list[tuple[tuple[str, ...], list[int]]] = []
        self.fails = False

    async def fetch(self, database: Any, zones: tuple[str, ...], asked: Sequence[int]) -> list[tuple[tuple[str, ...], int]]:
        self.statements.append((zones, list(asked)))
        await asyncio.sleep(0.001)
        if self.fails:
            raise Unavailable("The database does not answer.")
        return [(zones, one) for one in asked]


def together(database: Asked) -> Together[int]:
    return Together(None, database.fetch)  # type: ignore[arg-type]


async def test_what_is_asked_at_one_moment_is_one_statement() -> None:
    database = Asked()
    one = together(database)
    assert await asyncio.gather(*(one.ask(WARD, number) for number in range(20))) == [(WARD, number) for number in range(20)]
    assert [asked for _, asked in database.statements] == [list(range(20))]


async def test_other_zones_are_asked_for_apart() -> None:
    database = Asked()
    one = together(database)
    zones = [WARD, OTHER, WARD, OTHER, ()]
    assert await asyncio.gather(*(one.ask(held, 7) for held in zones)) == [(held, 7) for held in zones]
    assert sorted(database.statements) == [((), [7]), (OTHER, [7, 7]), (WARD, [7, 7])]


async def test_who_leaves_takes_nobodys_answer_along() -> None:
    one = together(Asked())
    tasks = [asyncio.create_task(one.ask(WARD, number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.sleep(0.0005)
    tasks[6].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [
        (WARD, number) for number in range(10) if number not in (3, 6)
    ]


async def test_everybody_is_told_of_a_failure_and_the_next_question_is_asked() -> None:
    database = Asked()
    one = together(database)
    database.fails = True
    answers = await asyncio.gather(*(one.ask(WARD, number) for number in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    database.fails = False
    assert await one.ask(WARD, 1) == (WARD, 1)


@pytest.mark.parametrize("seed", range(20))
async def test_in_any_order_each_gets_the_own_answer(seed: int) -> None:
    chance, database = random.Random(seed), Asked()
    one = together(database)

    async def asker(number: int) -> None:
        await asyncio.sleep(chance.random() * 0.01)
        held = chance.choice([WARD, OTHER])
        assert await one.ask(held, number) == (held, number)

    await asyncio.gather(*(asker(number) for number in range(150)))
    assert max(len(asked) for _, asked in database.statements) <= ASKED_MAX
