"""The power planner: who is started, emptied and stopped, and what keeps it from doing so twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Conflict, Invalid
from cloister.farm.power.forecast import Forecast, Sample, learn
from cloister.farm.power.plan import Action, Machine, Placing, Plan, plan
from cloister.farm.power.policy import PowerPolicy, policy_from
from cloister.farm.power.states import NEXT, PowerEvent, PowerState, step

TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
LONG_AGO = TUESDAY - timedelta(hours=5)
QUIET = PowerPolicy(ready=1, buffer=0.0, spare=0, zone="UTC")


def nothing_learnt() -> Forecast:
    return learn([], now=TUESDAY, zone="UTC")


def machine(name: str, power: PowerState = PowerState.ON, sessions: int = 0, **more: Any) -> Machine:
    usual: dict[str, Any] = {"placing": Placing.OPEN, "since": LONG_AGO, "attended": sessions, "capacity": 10}
    return Machine(id=name, power=power, sessions=sessions, **{**usual, **more})


def off(count: int, **more: Any) -> list[Machine]:
    return [machine(f"off-{n}", PowerState.OFF, **more) for n in range(count)]


def actions(made: Plan, action: Action) -> list[str]:
    return [one.machine for one in made.steps if one.action is action]


def decide(machines: list[Machine], policy: PowerPolicy = QUIET, **more: Any) -> Plan:
    return plan(machines, policy, more.pop("forecast", nothing_learnt()), now=more.pop("now", TUESDAY), **more)


def test_every_pair_of_state_and_event_is_drawn_or_refused() -> None:
    for state in PowerState:
        for event in PowerEvent:
            if (state, event) in NEXT:
                assert step(state, event) is NEXT[state, event]
            else:
                with pytest.raises(Conflict):
                    step(state, event)


def test_servers_are_started_for_the_sessions_there_are_with_the_buffer() -> None:
    made = decide([machine("a", sessions=10), *off(5)], PowerPolicy(ready=1, buffer=0.5, spare=1, zone="UTC"))
    assert made.wanted == 3
    assert actions(made, Action.START) == ["off-0", "off-1"]


def test_servers_that_are_coming_are_not_started_again() -> None:
    coming = [machine("b", PowerState.BOOTING, since=TUESDAY - timedelta(seconds=60))]
    assert not decide([machine("a", sessions=10), *coming, *off(5)], PowerPolicy(ready=2, buffer=0.0, spare=0, zone="UTC")).steps


def test_a_start_that_takes_too_long_is_not_counted_on() -> None:
    slow = [machine("b", PowerState.BOOTING, since=TUESDAY - timedelta(seconds=460))]
    made = decide([machine("a", sessions=10), *slow, *off(5)], PowerPolicy(ready=2, buffer=0.0, spare=0, boot=300, zone="UTC"))
    assert len(actions(made, Action.START)) == 1


def test_a_server_that_dies_is_replaced_and_cycled() -> None:
    dead = machine("b", PowerState.FAILED, since=TUESDAY - timedelta(minutes=20), failures=1)
    made = decide([machine("a"), dead, *off(1)], PowerPolicy(ready=2, buffer=0.0, spare=0, zone="UTC"))
    assert actions(made, Action.START) == ["off-0"]
    assert actions(made, Action.CYCLE) == ["b"]


def test_what_failed_too_often_is_left_to_a_person() -> None:
    tired = off(1, failures=3)
    made = decide([machine("a"), *tired], PowerPolicy(ready=2, buffer=0.0, spare=0, zone="UTC"))
    assert not made.steps
    assert made.short == 1


def test_too_many_servers_are_emptied_only_after_a_while_and_the_emptiest_first() -> None:
    many = [machine("a", sessions=5), machine("b", sessions=1), machine("c", sessions=3)]
    first = decide(many)
    assert not first.steps
    assert first.too_many_since == TUESDAY
    later = decide(many, now=TUESDAY + timedelta(minutes=11), too_many_since=first.too_many_since)
    assert actions(later, Action.EMPTY) == ["b", "c"]


def test_a_server_that_was_just_started_is_not_emptied() -> None:
    young = [machine("a", sessions=1), machine("b", since=TUESDAY - timedelta(minutes=5))]
    made = decide(young, too_many_since=TUESDAY - timedelta(hours=1))
    assert actions(made, Action.EMPTY) == ["a"]


def test_an_empty_server_is_stopped_and_one_with_a_session_never() -> None:
    emptying = [machine("b", placing=Placing.EMPTYING), machine("c", sessions=1, placing=Placing.EMPTYING)]
    assert actions(decide([machine("a"), *emptying]), Action.STOP) == ["b"]


def test_servers_are_taken_back_before_others_are_started() -> None:
    emptying = machine("b", sessions=4, placing=Placing.EMPTYING)
    made = decide([machine("a", sessions=10), emptying, *off(3)], PowerPolicy(ready=3, buffer=0.0, spare=0, zone="UTC"))
    assert actions(made, Action.TAKE_BACK) == ["b"]
    assert actions(made, Action.START) == ["off-0"]


def test_what_an_operator_or_a_maintenance_keeps_is_no_capacity_and_is_never_touched() -> None:
    kept = [machine("b", placing=Placing.CLOSED), machine("c", PowerState.OFF, held=True)]
    made = decide([machine("a", sessions=10), *kept, *off(1)], PowerPolicy(ready=2, buffer=0.0, spare=0, zone="UTC"))
    assert {one.machine for one in made.steps} == {"off-0"}


def test_servers_are_started_for_those_that_a_maintenance_takes_out() -> None:
    made = decide([machine("a", sessions=10), *off(3)], extra=2)
    assert (made.wanted, made.needed) == (3, 1)
    assert len(actions(made, Action.START)) == 2


def test_an_empty_server_that_is_out_of_date_is_started_anew_when_it_is_wanted() -> None:
    old = machine("b", placing=Placing.EMPTYING, update=True)
    made = decide([machine("a", sessions=10), old], PowerPolicy(ready=2, buffer=0.0, spare=0, zone="UTC"))
    assert actions(made, Action.RESTART) == ["b"]


def usual_days(height: int = 100) -> Forecast:
    """Three weeks in which everybody comes between eight and half past nine, and goes at six."""
    samples = []
    for minutes in range(5, 21 * 1440 + 1, 5):
        at = TUESDAY.replace(hour=0) - timedelta(days=21) + timedelta(minutes=minutes)
        hour = (at - timedelta(minutes=5)).hour + (at - timedelta(minutes=5)).minute / 60
        share = 0.0 if hour < 8 or hour >= 18 else min(1.0, (hour - 8 + 1 / 12) / 1.5)
        samples.append(Sample(at=at, held=round(height * share), begun=round(height / 18) if 8 <= hour < 9.5 else 0))
    return learn(samples, now=TUESDAY.replace(hour=0), zone="UTC")


def test_the_ramp_before_the_shift_is_learnt_from_the_last_weeks() -> None:
    eight = TUESDAY.replace(hour=7, minute=58)
    policy = PowerPolicy(ready=1, buffer=0.0, spare=0, boot=900, zone="UTC")
    made = decide([machine("a"), *off(12)], policy, forecast=usual_days(300), now=eight)
    assert 4 <= len(actions(made, Action.START)) <= 7
    assert not decide([machine("a"), *off(12)], forecast=usual_days(), now=TUESDAY.replace(hour=5)).steps


def test_servers_that_will_be_wanted_within_the_hold_are_kept() -> None:
    half = [machine(name, sessions=0) for name in "abcd"]
    policy = PowerPolicy(ready=1, buffer=0.0, spare=0, hold=7200, zone="UTC")
    before = decide(half, policy, forecast=usual_days(), now=TUESDAY.replace(hour=7), too_many_since=LONG_AGO)
    assert not actions(before, Action.EMPTY)
    night = decide(half, policy, forecast=usual_days(), now=TUESDAY.replace(hour=20), too_many_since=LONG_AGO)
    assert len(actions(night, Action.EMPTY)) == 3


def test_today_higher_than_former_days_is_followed() -> None:
    usual = usual_days()
    nine = TUESDAY.replace(hour=9)
    assert usual.height(nine, round((usual.held(nine) or 0) * 1.4)) > 1.15
    assert usual.height(nine, 10_000) == 1.6


def test_a_span_brings_its_minimum_before_it_begins() -> None:
    policy = policy_from(
        {"ready": 1, "spare": 0, "zone": "UTC", "spans": [{"days": ["tue"], "start": "10:03", "end": "18:30", "ready": 5, "buffer": 0.2}]}
    )
    made = decide([machine("a"), *off(9)], policy)
    assert made.wanted == 5
    assert policy.at(TUESDAY) == (1, 0.1)
    assert policy.at(TUESDAY + timedelta(minutes=3)) == (5, 0.2)


@pytest.mark.parametrize(
    "raw",
    [
        {"redy": 1}, {"ready": -1}, {"ready": True}, {"buffer": "much"}, {"spans": {}}, {"spans": [{}]}, {"zone": "Mars/Base"}, {"boot": 0},
        {"boot": 900, "boot_max": 10},
        {"spans": [{"days": ["someday"], "start": "07:00", "end": "08:00", "ready": 1, "buffer": 0}]},
        {"spans": [{"days": ["mon"], "start": "25:00", "end": "08:00", "ready": 1, "buffer": 0}]},
        {"spans": [{"days": ["mon"], "start": "09:00", "end": "08:00", "ready": 1, "buffer": 0}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_policy_that_is_wrong_is_refused_by_name(raw: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        policy_from(raw)
    assert refused.value.hint


def test_a_policy_comes_back_from_its_json() -> None:
    policy = policy_from({"ready": 3, "spans": [{"days": ["mon", "tue"], "start": "07:00", "end": "18:30", "ready": 9, "buffer": 0.05}]})
    assert policy_from(policy.as_json()) == policy


machines = st.lists(
    st.builds(
        Machine, id=st.uuids().map(str), power=st.sampled_from(PowerState), placing=st.sampled_from(Placing),
        since=st.integers(0, 400).map(lambda minutes: TUESDAY - timedelta(minutes=minutes)), sessions=st.integers(0, 10),
        attended=st.integers(0, 10), capacity=st.just(10), update=st.booleans(), failures=st.integers(0, 5), held=st.booleans(),
    ), max_size=30, unique_by=lambda one: one.id,
)  # fmt: skip


@given(machines, st.integers(0, 20), st.floats(0, 1), st.integers(0, 3))
def test_whatever_the_farm_looks_like_no_session_loses_its_server(found: list[Machine], ready: int, buffer: float, spare: int) -> None:
    policy = PowerPolicy(ready=ready, buffer=buffer, spare=spare, zone="UTC")
    made = decide(found, policy, too_many_since=LONG_AGO)
    by_name = {one.id: one for one in found}
    assert len({one.machine for one in made.steps}) == len(made.steps)
    for one in made.steps:
        machine = by_name[one.machine]
        assert not machine.held
        if one.action in (Action.STOP, Action.RESTART):
            assert machine.sessions == 0
            assert machine.placing is Placing.EMPTYING
        if one.action in (Action.EMPTY, Action.TAKE_BACK):
            assert machine.placing is not Placing.CLOSED
        if one.action is Action.START:
            assert machine.power is PowerState.OFF
            assert machine.placing is not Placing.CLOSED
    ready_now = sum(one.power is PowerState.ON and one.placing is Placing.OPEN for one in found)
    assert ready_now - len(actions(made, Action.EMPTY)) >= min(ready_now, made.wanted - made.coming)
