from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from store_rig import ADELE, COLIN, DELORME, PROGRAM, PSYCHIATRIC_PROGRAM, VASSEUR, Rig, Session, rig


@pytest.fixture(scope="session")
def trust() -> Iterator[Rig]:
    with rig() as made:
        yield made


@pytest.fixture
async def program(trust: Rig) -> AsyncIterator[Session]:
    """A program of the general hospital: its zone and two wards."""
    session = await trust.session(PROGRAM)
    yield session
    session.close()


@pytest.fixture
async def tilleuls(trust: Rig) -> AsyncIterator[Session]:
    """A program of the psychiatric hospital: the zone of its ward, which has no tokens for codes."""
    session = await trust.session(PSYCHIATRIC_PROGRAM)
    yield session
    session.close()


@pytest.fixture
async def vasseur(trust: Rig) -> AsyncIterator[Session]:
    """A doctor of cardiology, who also opens the whole hospital."""
    session = await trust.session(VASSEUR)
    yield session
    session.close()


@pytest.fixture
async def adele(trust: Rig) -> AsyncIterator[Session]:
    """A nurse of cardiology: her ward's zone only."""
    session = await trust.session(ADELE)
    yield session
    session.close()


@pytest.fixture
async def delorme(trust: Rig) -> AsyncIterator[Session]:
    """A psychiatrist of the other hospital."""
    session = await trust.session(DELORME)
    yield session
    session.close()


@pytest.fixture
async def colin(trust: Rig) -> AsyncIterator[Session]:
    """The IT operator, who holds no zone."""
    session = await trust.session(COLIN)
    yield session
    session.close()
