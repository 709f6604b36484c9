"""The life of a session: every pair of state and event, drawn or not."""

from __future__ import annotations

import itertools

import pytest

from cloister.base.errors import Conflict
from cloister.farm.states import LIVE, NEXT, SessionEvent, SessionState, reported, step

# The picture as a person would draw it: for each event, from where to where.
DRAWN = {
    "ready": {"starting": "locked"},
    "unlock": {"locked": "active", "active": "active", "disconnected": "active"},
    "lock": {"locked": "locked", "active": "locked", "disconnected": "disconnected"},
    "idle": {"locked": "disconnected", "active": "locked", "disconnected": "disconnected"},
    "leave": {"locked": "disconnected", "active": "disconnected", "disconnected": "disconnected"},
    "rejoin": {"locked": "locked", "active": "locked", "disconnected": "locked"},
    "end": {"starting": "ending", "locked": "ending", "active": "ending", "disconnected": "ending", "ending": "ending"},
    "exit": {"starting": "ended", "locked": "ended", "active": "ended", "disconnected": "ended", "ending": "ended"},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(SessionState, SessionEvent)))
def test_a_session_does_what_is_drawn_and_nothing_else(state: SessionState, event: SessionEvent) -> None:
    after = DRAWN[event].get(state)
    if after is None:
        with pytest.raises(Conflict):
            step(state, event)
    else:
        assert step(state, event) == after


def test_the_table_is_the_picture() -> None:
    assert len(NEXT) == sum(len(arrows) for arrows in DRAWN.values())


def test_nothing_follows_the_end() -> None:
    assert {state for state in SessionState if not any(start is state for start, _ in NEXT)} == {SessionState.ENDED}
    assert set(SessionState) - {SessionState.ENDING, SessionState.ENDED} == LIVE


@pytest.mark.parametrize(
    ("known", "said", "possible"),
    [
        ("starting", "active", True),  # two words were lost
        ("active", "disconnected", True),
        ("locked", "starting", False),
        ("ending", "active", False),
        ("ended", "locked", False),
        ("active", "ended", True),
        ("ended", "ended", True),
    ],
)
def test_an_agent_is_believed_only_where_the_table_leads(known: str, said: str, possible: bool) -> None:
    if possible:
        assert reported(SessionState(known), SessionState(said)) == said
    else:
        with pytest.raises(Conflict):
            reported(SessionState(known), SessionState(said))
