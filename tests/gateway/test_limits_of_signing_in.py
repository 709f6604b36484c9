"""How long whoever fails to sign in must wait: never at once, never for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloister.base.errors import Busy
from cloister.gateway.limits import (
    DELAY_MAX,
    FORGOTTEN_AFTER,
    FREE_FAILURES,
    STARTS_PER_MINUTE_MAX,
    Counted,
    Limits,
    delay,
    key_of,
    remaining,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class NoDatabase:
    async def fetch(self, query: str, *args: object) -> list[object]:
        return []


@pytest.mark.parametrize("counted", list(Counted))
def test_a_few_failures_are_free_then_the_wait_grows_to_a_bound(counted: Counted) -> None:
    free = FREE_FAILURES[counted]
    assert all(delay(counted, failures) == timedelta(0) for failures in range(free))
    waits = [delay(counted, free + more) for more in range(40)]
    assert waits[0] == timedelta(seconds=2)
    assert waits == sorted(waits)
    assert waits[-1] == DELAY_MAX[counted]


def test_the_wait_passes_and_old_failures_are_forgotten() -> None:
    wait = delay(Counted.PERSON, 8)
    assert remaining(Counted.PERSON, 8, NOON, now=NOON) == wait
    assert remaining(Counted.PERSON, 8, NOON, now=NOON + wait) == timedelta(0)
    assert remaining(Counted.PERSON, 10_000, NOON, now=NOON + FORGOTTEN_AFTER[Counted.PERSON]) == timedelta(0)


def test_what_was_typed_as_a_name_is_kept_only_as_a_hash() -> None:
    assert len(key_of(Counted.PERSON, "a passphrase by mistake")) == 32
    assert key_of(Counted.PERSON, "10.0.0.1") != key_of(Counted.ADDRESS, "10.0.0.1")


def test_one_address_begins_only_so_many_sign_ins_a_minute() -> None:
    now = NOON
    limits = Limits(NoDatabase(), lambda: now)
    for _ in range(STARTS_PER_MINUTE_MAX):
        limits.begin("10.0.0.1")
    with pytest.raises(Busy) as busy:
        limits.begin("10.0.0.1")
    assert int(busy.value.expression) > 0
    limits.begin("10.0.0.2")
    now += timedelta(minutes=1)
    limits.begin("10.0.0.1")
