from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records" / "store"))

from need_cast import PLAN, AtWork, SignIn, at_work  # noqa: E402
from store_rig import Rig, rig  # noqa: E402

from cloister.identity import PersonPlan  # noqa: E402


@pytest.fixture(scope="session")
def trust() -> Iterator[Rig]:
    with rig(plan=PLAN) as made:
        yield made


@pytest.fixture
async def sign_in(trust: Rig) -> AsyncIterator[SignIn]:
    """Opens a session; all of them end with the test."""
    opened: list[AtWork] = []

    async def one(who: PersonPlan) -> AtWork:
        opened.append(await at_work(trust, who))
        return opened[-1]

    yield one
    for session in opened:
        session.close()
