"""A program's pace: a bucket that fills by itself, decided before any work, and never below what was promised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Busy
from cloister.server.pace import Bucket, Pace, read_pace


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
