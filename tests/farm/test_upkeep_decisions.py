"""Maintenance decided: the life of a server, its health, windows, groups in turn, and whom an emptied server lets go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Conflict, Invalid
from cloister.farm.maintenance.health import RULES, Ailment, Facts, Illness, ailment, facts_from, judge
from cloister.farm.maintenance.rolling import AWAY, Member, Turn, moves, room, serving, takes
from cloister.farm.maintenance.states import NEXT, ServerEvent, step
from cloister.farm.maintenance.windows import Window, due, window_from
from cloister.farm.maintenance.words import closes
from cloister.farm.placement import ServerState
from cloister.farm.power.emptying import Held, emptying

NOW = datetime(2026, 11, 29, 2, 30, tzinfo=UTC)  # a Sunday


# --- the life of a server -------------------------------------------------------------------------------


def test_every_pair_of_state_and_event_is_drawn_or_refused() -> None:
    for state in ServerState:
        for event in ServerEvent:
            if (state, event) in NEXT:
                assert step(state, event) is NEXT[state, event]
            else:
                with pytest.raises(Conflict):
                    step(state, event)


def test_only_a_server_that_reported_becomes_ready_and_every_state_leads_to_off() -> None:
    assert {event for (state, event), after in NEXT.items() if after is ServerState.READY and state is not ServerState.READY} == {
        ServerEvent.HELLO, ServerEvent.UNDRAIN, ServerEvent.DONE, ServerEvent.WELL,
    }  # fmt: skip
    assert all(NEXT[state, ServerEvent.STOP] is ServerState.OFF for state in ServerState)


# --- health ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "silent", "found"),
    [
        (Facts(), 0, None),
        (Facts(), 30, Ailment.SILENT),
        (Facts(spawns_failed=2), 0, None),
        (Facts(spawns_failed=3), 0, Ailment.SPAWNS_FAIL),
        (Facts(disk_free=0.04), 0, Ailment.DISK_FULL),
        (Facts(gate_away=20), 0, Ailment.GATE_AWAY),
        (Facts(zygote_away=20), 0, Ailment.NO_ZYGOTE),
    ],
)
def test_what_is_wrong_with_a_server_says_itself(facts: Facts, silent: int, found: Ailment | None) -> None:
    assert ailment(facts, NOW - timedelta(seconds=silent), now=NOW) is found


def test_a_server_comes_back_by_itself_or_by_hand_as_its_ailment_has_it() -> None:
    for kind, rule in RULES.items():
        ill = judge(None, kind, now=NOW)
        assert ill is not None
        assert rule.text in ill.why
        assert ("by itself" in ill.why) == (rule.well is not None)
        better = judge(ill, None, now=NOW + timedelta(minutes=1))
        assert better is not None, "well for a moment is not well"
        assert better.well_since == NOW + timedelta(minutes=1)
        assert (judge(better, None, now=NOW + timedelta(hours=1)) is None) == (rule.well is not None)


def test_an_ailment_that_returns_begins_anew_and_a_grave_one_is_not_hidden_by_a_light_one() -> None:
    grave = Illness(ailment=Ailment.SPAWNS_FAIL, since=NOW)
    assert judge(grave, Ailment.SILENT, now=NOW) == grave
    light = Illness(ailment=Ailment.GATE_AWAY, since=NOW, well_since=NOW)
    again = judge(light, Ailment.GATE_AWAY, now=NOW + timedelta(seconds=14))
    assert again is not None
    assert again.well_since is None


def test_facts_of_an_agent_that_make_no_sense_say_nothing() -> None:
    assert facts_from({"spawns_failed": "many", "disk_free": None, "gate_away": True, "other": 1}) == Facts()


# --- windows -------------------------------------------------------------------------------------------------

SUNDAYS = Window(id="w", group="g", days=("sun",), start=120, minutes=90, zone="UTC")


def test_a_window_is_due_once_in_each_opening() -> None:
    assert due([SUNDAYS], {}, now=NOW) == [SUNDAYS]
    assert due([SUNDAYS], {"w": NOW - timedelta(days=7)}, now=NOW) == [SUNDAYS]
    assert due([SUNDAYS], {"w": NOW - timedelta(minutes=20)}, now=NOW) == []
    assert due([SUNDAYS], {}, now=NOW + timedelta(hours=1)) == []
    assert due([SUNDAYS], {}, now=NOW + timedelta(days=1)) == []


def test_a_window_may_pass_midnight_and_be_of_one_date() -> None:
    late = replace(SUNDAYS, days=("sat",), start=23 * 60, minutes=240)
    assert due([late], {}, now=NOW) == [late]
    once = replace(SUNDAYS, days=(), on=date(2026, 11, 29))
    assert due([once], {}, now=NOW) == [once]
    assert due([once], {}, now=NOW + timedelta(days=7)) == []


def test_a_window_is_by_the_clock_on_the_wall_also_when_clocks_change() -> None:
    paris = replace(SUNDAYS, zone="Europe/Paris", start=4 * 60, minutes=60)
    assert due([paris], {}, now=datetime(2026, 10, 25, 3, 30, tzinfo=UTC)), "04:30 of winter time"
    assert not due([paris], {}, now=datetime(2026, 10, 25, 2, 30, tzinfo=UTC)), "03:30 of winter time"


@pytest.mark.parametrize(
    "raw",
    [{"days": []}, {"days": ["someday"]}, {"days": ["sun"], "on": "2026-12-24"}, {"on": "soon"}, {"days": ["sun"], "start": "26:00"},
     {"days": ["sun"], "percent": 0}, {"days": ["sun"], "minutes": 1}, {"days": ["sun"], "zone": "Mars/Base"}],
    ids=str,
)  # fmt: skip
def test_a_window_that_is_wrong_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        window_from({"id": "w", "group": "g", "start": "02:00", **raw})


# --- a group in turn -------------------------------------------------------------------------------------------


def member(name: str, turn: Turn = Turn.WAITING, state: ServerState = ServerState.READY, **more: Any) -> Member:
    return Member(server=name, turn=turn, since=NOW - timedelta(minutes=5), state=state, **{"sessions": 0, **more})


def test_the_next_server_goes_when_the_one_before_is_back() -> None:
    group = [member("a", sessions=3), member("b", sessions=1), member("c", sessions=2), member("d")]
    assert moves(group, percent=50, restart=True, now=NOW).empty == ("d", "b")
    group[3] = member("d", Turn.OUT, ServerState.MAINTENANCE)
    group[1] = member("b", Turn.EMPTYING, ServerState.DRAINING, sessions=1)
    assert moves(group, percent=50, restart=True, now=NOW).empty == ()
    group[3] = member("d", Turn.OUT, ServerState.MAINTENANCE, hello=NOW)
    back = moves(group, percent=50, restart=True, now=NOW)
    assert back.done == ("d",)
    assert back.empty == (), "it takes its place again first"


def test_servers_that_the_sessions_need_stay_and_the_planner_hears_how_many_would_go() -> None:
    group = [member(name) for name in "abcd"]
    assert moves(group, percent=50, restart=True, now=NOW, needed=4).empty == ()
    assert moves(group, percent=50, restart=True, now=NOW, needed=3).empty == ("a",)
    assert takes(group, 50) == 2
    assert takes([member("a", Turn.DONE), member("b")], 100) == 1


def test_a_server_that_does_not_come_back_keeps_its_place_in_the_share() -> None:
    lost = replace(member("a", Turn.OUT, ServerState.MAINTENANCE), since=NOW - timedelta(hours=1))
    found = moves([lost, member("b")], percent=50, restart=True, now=NOW)
    assert found.failed == ("a",)
    assert found.empty == ()


def test_without_a_restart_the_operators_word_brings_a_server_back() -> None:
    out = member("a", Turn.OUT, ServerState.MAINTENANCE, hello=NOW)
    assert moves([out], percent=10, restart=False, now=NOW).done == ()
    assert moves([replace(out, state=ServerState.READY)], percent=10, restart=False, now=NOW).done == ("a",)


@given(
    st.lists(st.tuples(st.sampled_from(Turn), st.sampled_from(ServerState), st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(1, 100),
    st.booleans(),
)
def test_never_more_than_the_share_is_out_at_once(group: list[tuple[Turn, ServerState, int]], percent: int, restart: bool) -> None:
    members = [member(str(n), turn, state, sessions=held) for n, (turn, state, held) in enumerate(group)]
    found = moves(members, percent=percent, restart=restart, now=NOW)
    out = {m.server for m in members if m.state in AWAY or m.turn in (Turn.EMPTYING, Turn.OUT, Turn.FAILED)}
    assert not found.empty or len(out | set(found.empty)) <= room(serving(members), percent)
    assert all(members[int(name)].state is ServerState.READY for name in found.empty)


# --- emptying -----------------------------------------------------------------------------------------------------


def test_sessions_that_nobody_looks_at_end_and_people_who_work_are_left_until_the_deadline() -> None:
    held = [Held("works", True, 9999), Held("left", False, 400), Held("just-left", False, 10)]
    assert emptying(held, leave=300, left=None).end == ("left",)
    assert emptying(held, leave=300, left=None).tell == ()
    warned = emptying(held, leave=300, left=500)
    assert warned.tell == ("works", "just-left")
    assert set(emptying(held, leave=300, left=0).end) == {"works", "left", "just-left"}
    assert emptying([Held("works", True, 1, told=True)], leave=300, left=500).tell == ()


def test_people_are_told_in_both_languages_when_their_server_closes() -> None:
    text = closes(NOW, zone="Europe/Paris", message="Kernel.")
    assert set(text) == {"en", "fr"}
    assert all("03:30" in words and words.endswith("Kernel.") for words in text.values())
