"""What a store gate gives out of the heads that passed through it, and when it must ask PostgreSQL again."""

from __future__ import annotations

from typing import Any

import asyncpg

from cloister.records.gate.heads import PARTS_MAX, ZONES_KEPT_SECONDS, Heads
from cloister.records.gate.writing import Write, written_together

WARD, OTHER, ID = ("ward",), ("other",), bytes(16)
WRAP = (1, ID, 1, 1, "ward", b"wrapped")


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(seq: int, parts: dict[int, bytes]) -> list[tuple[Any, ...]]:
    """As PostgreSQL opens a dossier for somebody who knows nothing of it."""
    numbers = " ".join(map(str, parts))
    return [
        (0, ID, seq, 0, "patient", b"commit %d" % seq),
        WRAP,
        *((2, ID, no, 0, None, ct) for no, ct in parts.items()),
        (3, ID, 0, 0, numbers, None),
    ]


def warm(time: Time) -> Heads:
    heads = Heads(time)
    heads.learn(WARD, opened(5, {1: b"one", 5: b"five"}), time.now)
    return heads


def told(answer: list[tuple[Any, ...]] | None) -> tuple[int, set[int], set[int]] | None:
    """(head, parts that came, numbers of all parts)"""
    if answer is None:
        return None
    numbers = [row[4] for row in answer if row[0] == 3]
    return answer[0][2], {row[2] for row in answer if row[0] == 2}, set(map(int, numbers[0].split())) if numbers else set()


def test_a_write_is_told_to_the_next_without_asking_again() -> None:
    heads = warm(Time())
    heads.wrote(ID, 5, b"commit 6", 6, b"six")
    assert told(heads.answer(WARD, ID, 5, 5)) == (6, {6}, {1, 5, 6})
    assert told(heads.answer(WARD, ID, 6, 6)) == (6, set(), set())
    assert heads.answer(WARD, ID, 6, 6) == [(0, ID, 6, 0, "patient", None)]


def test_parts_that_were_made_one_are_gone() -> None:
    heads = warm(Time())
    heads.wrote(ID, 5, b"commit 6", 6, b"six", [1, 5])
    assert told(heads.answer(WARD, ID, 0, 0)) == (6, {6}, {6})


def test_only_the_head_that_the_database_named_is_given_out() -> None:
    heads = warm(Time())
    assert heads.answer(WARD, ID, 0, 0, at=6) is None
    assert heads.answer(WARD, ID, 0, 6) is None  # the caller has seen a newer one
    assert told(heads.answer(WARD, ID, 0, 0, at=5)) == (5, {1, 5}, {1, 5})


def test_a_write_that_went_another_way_ends_what_is_known() -> None:
    heads = warm(Time())
    heads.wrote(ID, 6, b"commit 7", 7, b"seven")
    assert heads.answer(WARD, ID, 0, 0) is None


def test_zones_are_asked_for_again_after_a_moment_and_one_by_one() -> None:
    time = Time()
    heads = warm(time)
    assert heads.answer(OTHER, ID, 0, 0) is None
    time.now += ZONES_KEPT_SECONDS + 0.1
    assert heads.answer(WARD, ID, 0, 0) is None
    heads.learn(WARD, opened(5, {1: b"one", 5: b"five"}), time.now)
    assert heads.answer(WARD, ID, 0, 0) is not None
    heads.forget()  # a share has ended, or keys are new
    assert heads.answer(WARD, ID, 0, 0) is None


def test_a_part_that_did_not_pass_is_asked_for() -> None:
    heads = Heads(Time())
    heads.learn(WARD, [*opened(5, {5: b"five"})[:-1], (3, ID, 0, 0, "1 5", None)], 100.0)
    assert heads.answer(WARD, ID, 0, 0) is None
    assert told(heads.answer(WARD, ID, 1, 4)) == (5, {5}, {1, 5})


def test_what_is_kept_has_a_bound() -> None:
    heads = warm(Time())
    for number in range(6, 6 + PARTS_MAX):
        heads.wrote(ID, number - 1, b"commit", number, b"part")
    assert heads.answer(WARD, ID, 0, 0) is None
    assert told(heads.answer(WARD, ID, 6, 6)) is not None


async def test_one_write_that_cannot_be_stored_leaves_the_others_to_be_tried_alone() -> None:
    class Database:
        fails = False

        async def fetch(self, sql: str, *values: Any) -> list[tuple[int]]:
            if self.fails:
                raise asyncpg.UniqueViolationError("there already")
            assert values[1] == [bytes(16), b"\1" * 16]  # in the order in which everybody locks
            return [(2,)]

    asked = [
        Write(dossier=[id], kind=["patient"], expected=[3], commit=[b""], new_d=[1], new_rtype=[1], new_id=[id], new_ver=[1], new_key=[1],
              new_dict=[1], new_ct=[b""], part_d=[1], part_no=[4], part_ct=[b""])
        for id in (b"\1" * 16, bytes(16))
    ]  # fmt: skip
    database = Database()
    assert await written_together(database, WARD, asked) == [True, False]  # type: ignore[arg-type]
    database.fails = True
    assert await written_together(database, WARD, asked) == [False, False]  # type: ignore[arg-type]
