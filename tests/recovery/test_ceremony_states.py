"""The ceremony as a table: no way to its end without three parties, and stopping and expiring always work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.offices.ceremony import (
    LIVE,
    NEXT,
    WHOSE,
    Ceremony,
    Opening,
    Party,
    Purpose,
    State,
    Statement,
    Step,
    after,
    check_opening,
    walked,
)
from cloister.zones import algorithms

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=2)
OPENING = Opening(bytes(32), Purpose.RECOVER, "ward", 3, "A", "claire", "write", "both officers left", "colin", NOW, UNTIL)
PEOPLE = {
    "benedicte": Party.MEDICAL, "etienne": Party.MEDICAL, "claire": Party.MEDICAL,
    "colin": Party.IT, "lemoine": Party.IT, "aubry": Party.MANAGEMENT,
}  # fmt: skip
KEYS = [bytes([n]) * algorithms.KEM_PUBLIC_BYTES for n in (1, 2)]


def said(step: Step, person: str, at: datetime = NOW, party: Party | None = None, **details: Any) -> Statement:
    return Statement(step, person, party or PEOPLE[person], at, details)


def seated(person: str = "benedicte", key: bytes = KEYS[0]) -> Ceremony:
    return after(Ceremony(OPENING), said(Step.JOIN, person, key=key))


def seat(key: bytes = KEYS[0]) -> bytes:
    return algorithms.sha256(key)


def ready() -> Ceremony:
    given = after(seated(), said(Step.ESCROW, "lemoine", seat=seat()))
    return after(given, said(Step.CARD, "aubry", seat=seat()))


def test_every_pair_of_state_and_step_is_drawn_or_refused() -> None:
    details = {"key": KEYS[0], "seat": seat()}
    by = {Party.MEDICAL: "benedicte", Party.IT: "lemoine", Party.MANAGEMENT: "aubry"}
    for state in State:
        for step in Step:
            whose = by[WHOSE.get(step, Party.IT)]
            start = Ceremony(OPENING, state, {Party.MEDICAL: "benedicte"}, {Step.JOIN: said(Step.JOIN, "benedicte", **details)})
            if (state, step) in NEXT:
                assert after(start, said(step, whose, **details)).state is NEXT[state, step]
            else:
                with pytest.raises(Denied) as denied:
                    after(start, said(step, whose, **details))
                assert denied.value.reason == "ceremony-state"


def test_three_people_in_any_order_of_the_two_halves_reach_the_end() -> None:
    assert after(ready(), said(Step.FINISH, "benedicte", seat=seat())).state is State.DONE
    other = after(after(seated(), said(Step.CARD, "aubry", seat=seat())), said(Step.ESCROW, "colin", seat=seat()))
    assert other.state is State.READY


@pytest.mark.parametrize(
    ("step", "person", "reason"),
    [(Step.FINISH, "etienne", "other-seat"), (Step.FINISH, "lemoine", "other-party"), (Step.WRONG_PIN, "etienne", "other-seat")],
)
def test_only_the_officer_of_the_seat_finishes(step: Step, person: str, reason: str) -> None:
    with pytest.raises(Denied) as denied:
        after(ready(), said(step, person, seat=seat()))
    assert denied.value.reason == reason


def test_who_is_to_receive_the_key_does_not_take_the_seat() -> None:
    with pytest.raises(Denied) as denied:
        after(Ceremony(OPENING), said(Step.JOIN, "claire", key=KEYS[0]))
    assert denied.value.reason == "grant-self"


def test_one_person_is_not_two_parties() -> None:
    with pytest.raises(Denied) as denied:
        after(seated("benedicte"), said(Step.ESCROW, "benedicte", party=Party.IT, seat=seat()))
    assert denied.value.reason == "one-person"


def test_a_part_for_an_older_seat_does_not_count() -> None:
    again = after(after(seated(), said(Step.ESCROW, "lemoine", seat=seat())), said(Step.JOIN, "etienne", key=KEYS[1]))
    assert again.state is State.SEATED
    with pytest.raises(Denied) as denied:
        after(again, said(Step.ESCROW, "lemoine", seat=seat(KEYS[0])))
    assert denied.value.reason == "other-seat"


def test_three_wrong_pins_stop_it() -> None:
    found = ready()
    for _ in range(3):
        found = after(found, said(Step.WRONG_PIN, "benedicte", seat=seat()))
    assert found.state is State.STOPPED


def test_what_does_not_count_is_named_and_changes_nothing() -> None:
    found = walked(OPENING, [said(Step.FINISH, "benedicte"), said(Step.JOIN, "benedicte", key=KEYS[0])], NOW)
    assert (found.state, found.refused) == (State.SEATED, ("finish: ceremony-state",))


@pytest.mark.parametrize(
    "changed",
    [{"reason": " "}, {"set": "C"}, {"recipient": ""}, {"right": "own"}, {"life": timedelta(days=2)}, {"life": timedelta(minutes=1)}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_ceremony_that_is_asked_for_badly_is_told_what_is_missing(changed: dict[str, Any]) -> None:
    asked = {"purpose": "recover", "set": "A", "reason": "why", "recipient": "claire", "right": "hold", **changed}
    life = asked.pop("life", timedelta(hours=2))
    with pytest.raises(Invalid) as invalid:
        check_opening(asked, life)
    assert invalid.value.hint


class Table(RuleBasedStateMachine):
    """Anybody says anything at any time; what counts must obey the promises."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Ceremony(OPENING)
        self.now = NOW
        self.counted: list[Statement] = []

    @rule(
        step=st.sampled_from(list(Step)),
        person=st.sampled_from(sorted(PEOPLE)),
        claimed=st.sampled_from([None, None, None, *Party]),
        key=st.sampled_from(KEYS),
        seat_of=st.sampled_from(KEYS),
    )
    def somebody_says(self, step: Step, person: str, claimed: Party | None, key: bytes, seat_of: bytes) -> None:
        one = said(step, person, self.now, claimed, key=key, seat=algorithms.sha256(seat_of))
        try:
            self.found = after(self.found, one)
        except CloisterError:  # does not count; the invariants look at what did
            return
        self.counted.append(one)

    @precondition(lambda self: self.found.state is State.OPEN)
    @rule(key=st.sampled_from(KEYS))
    def an_officer_joins(self, key: bytes) -> None:
        self.somebody_says(Step.JOIN, "benedicte", None, key, key)

    @precondition(lambda self: self.found.key)
    @rule(step=st.sampled_from([Step.ESCROW, Step.CARD]))
    def a_party_gives(self, step: Step) -> None:
        person = "lemoine" if step is Step.ESCROW else "aubry"
        self.somebody_says(step, person, None, self.found.key, self.found.key)

    @precondition(lambda self: self.found.state is State.READY)
    @rule()
    def the_officer_finishes(self) -> None:
        self.somebody_says(Step.FINISH, self.found.seats[Party.MEDICAL], None, self.found.key, self.found.key)

    @rule(minutes=st.integers(1, 60))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def the_end_was_reached_by_three(self) -> None:
        if self.found.state is State.DONE:
            seats = self.found.seats
            assert set(seats) == set(Party)
            assert len(set(seats.values())) == 3
            assert {Step.JOIN, Step.ESCROW, Step.CARD, Step.FINISH} <= set(self.found.given)
            assert seats[Party.MEDICAL] != OPENING.recipient
            for step in (Step.ESCROW, Step.CARD, Step.FINISH):
                assert self.found.given[step].details["seat"] == algorithms.sha256(self.found.key)
                assert self.found.given[step].party is WHOSE[step]

    @invariant()
    def anybody_can_stop_it_while_it_lives(self) -> None:
        if self.found.state in LIVE and self.now <= UNTIL:
            for person in ("lemoine", "benedicte", "aubry"):
                assert after(self.found, said(Step.STOP, person, self.now)).state is State.STOPPED

    @invariant()
    def it_expires(self) -> None:
        if self.now > UNTIL and self.found.state in LIVE:
            assert walked(OPENING, self.counted, self.now).state is State.EXPIRED
            for step in Step:
                with pytest.raises(CloisterError):
                    after(self.found, said(step, "benedicte", self.now, key=KEYS[0], seat=seat()))

    @invariant()
    def walking_the_table_again_gives_the_same(self) -> None:
        if self.now <= UNTIL:
            assert walked(OPENING, self.counted, self.now).state is self.found.state


def test_nobody_finds_a_way_to_the_end_without_three_parties() -> None:
    run_state_machine_as_test(Table, settings=settings(max_examples=120, stateful_step_count=25, deadline=None))  # type: ignore[no-untyped-call]
