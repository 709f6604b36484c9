"""A program's pace: a bucket that fills by itself, decided before any work, and never below what was promised."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Busy, Unavailable
from cloister.server.pace import Bucket, Pace, Shared, read_pace


@pytest.mark.parametrize("text", ["", "5", "0/1/1", "1/1/-1", "1/2/3/4", "99999999/1/1", "a/b/c", "१/1/1"])
def test_what_is_no_pace_limits_nobody(text: str) -> None:
    assert read_pace(text) is None
    bucket = Bucket()
    for _ in range(1000):
        bucket.enter(text, now=1.0)


def test_a_burst_is_let_through_then_one_at_a_time() -> None:
    bucket = Bucket()
    assert read_pace("2/3/9") == Pace(2, 3, 9)
    for _ in range(3):
        bucket.enter("2/3/9", now=10.0)
        bucket.leave()
    with pytest.raises(Busy) as refused:
        bucket.enter("2/3/9", now=10.1)
    assert (refused.value.reason, refused.value.expression) == ("pace", "1")
    bucket.enter("2/3/9", now=10.6)


def test_only_so_many_are_under_way_at_once() -> None:
    bucket = Bucket()
    for _ in range(2):
        bucket.enter("100/100/2", now=0.0)
    with pytest.raises(Busy):
        bucket.enter("100/100/2", now=1.0)
    bucket.leave()
    bucket.enter("100/100/2", now=1.0)


def test_a_new_pace_holds_at_once_and_gives_no_second_burst() -> None:
    bucket = Bucket()
    bucket.enter("1/5/9", now=0.0)
    bucket.enter("1/2/9", now=0.0)
    bucket.enter("1/2/9", now=0.0)
    with pytest.raises(Busy):
        bucket.enter("1/2/9", now=0.0)


@given(st.lists(st.floats(min_value=0, max_value=0.5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_than_the_burst_and_what_the_time_brought(pauses: list[float], per_second: int, burst: int) -> None:
    bucket, now, passed = Bucket(), 0.0, 0
    for pause in pauses:
        now += pause
        try:
            bucket.enter(f"{per_second}/{burst}/900", now=now)
        except Busy:
            continue
        passed += 1
    assert passed <= burst + now * per_second + 1e-6


class Counter:
    """The one place where a program's requests are counted; here it has only so many."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked = 0
        self.away = False

    async def ask(self) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise Unavailable("No answer.")
        await asyncio.sleep(0)
        taken = min(self.left, 5)
        self.left -= taken
        return {"taken": taken, "per_second": 10, "share": 3, "wait_seconds": 0.0 if taken else 0.1}


async def entered(pace: Shared, text: str = "10/20/9", *, now: float = 0.0, shared: bool = True) -> bool:
    try:
        await pace.enter(text, shared=shared, now=now)
    except Busy:
        return False
    pace.leave()
    return True


async def test_sessions_of_one_program_take_from_one_count() -> None:
    counter = Counter(12)
    sessions = [Shared(counter.ask) for _ in range(4)]
    answers = [await entered(sessions[turn % 4]) for turn in range(40)]
    assert answers.count(True) == 12
    assert counter.asked <= 8, "who was refused does not ask again before the time"
    counter.left = 3
    assert await entered(sessions[0], now=0.2)


async def test_what_was_taken_in_advance_is_kept_for_a_while_and_gone_with_a_new_pace() -> None:
    counter = Counter(100)
    pace = Shared(counter.ask)
    for now in (10.0, 11.9, 14.9):  # now and then: no need to ask for each
        assert await entered(pace, now=now)
    assert counter.asked == 1
    assert await entered(pace, now=15.1)
    assert counter.asked == 2
    assert await entered(pace, "1/3/9", now=15.2)  # a ticket of a new limit: the rest of the old one is gone
    assert counter.asked == 3
    assert await entered(pace, "10/20/9", now=15.3)  # and one of an older ticket wastes nothing again
    assert counter.asked == 3


async def test_of_requests_that_wait_together_one_asks() -> None:
    counter = Counter(5)
    pace = Shared(counter.ask)
    answers = await asyncio.gather(*(entered(pace) for _ in range(5)))
    assert (answers.count(True), counter.asked) == (5, 1)


async def test_only_the_sessions_share_is_under_way_at_once() -> None:
    pace = Shared(Counter(100).ask)
    for _ in range(3):
        await pace.enter("10/20/9", shared=True, now=0.0)
    assert not await entered(pace)
    pace.leave()
    assert await entered(pace)


async def test_while_nobody_answers_a_session_counts_for_itself_and_an_app_always_does() -> None:
    counter = Counter(0)
    counter.away = True
    pace = Shared(counter.ask)
    assert [await entered(pace, "1/3/9") for _ in range(5)] == [True, True, True, False, False]
    assert counter.asked == 1
    app = Shared(counter.ask)
    assert await entered(app, shared=False)
    assert await entered(app, "")
    assert counter.asked == 1
