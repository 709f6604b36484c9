from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records" / "store"))

from rotas_cast import PLAN, Enter  # noqa: E402
from store_rig import Rig, Session, rig  # noqa: E402

from cloister.identity import PersonPlan  # noqa: E402


@pytest.fixture(scope="session")
def trust() -> Iterator[Rig]:
    with rig(plan=PLAN) as made:
        yield made


@pytest.fixture
async def enter(trust: Rig) -> AsyncIterator[Enter]:
    """Opens a session; all of them end with the test."""
    opened: list[Session] = []

    async def one(who: PersonPlan) -> Session:
        opened.append(await trust.session(who))
        return opened[-1]

    yield one
    for session in opened:
        session.close()
