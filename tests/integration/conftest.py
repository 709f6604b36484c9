"""Sessions of a small trust over a real store gate, shared by all of this folder."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "records" / "store"))

from store_rig import ADELE, DELORME, PROGRAM, VASSEUR, Rig, Session, rig  # noqa: E402


@pytest.fixture(scope="session")
def hospital() -> Iterator[Rig]:
    with rig() as made:
        yield made


@pytest.fixture
async def gateway(hospital: Rig) -> AsyncIterator[Session]:
    """The program that messages come through: the general hospital's zone and two wards."""
    session = await hospital.session(PROGRAM)
    yield session
    session.close()


@pytest.fixture
async def vasseur(hospital: Rig) -> AsyncIterator[Session]:
    """A doctor of cardiology, who also opens the whole hospital."""
    session = await hospital.session(VASSEUR)
    yield session
    session.close()


@pytest.fixture
async def adele(hospital: Rig) -> AsyncIterator[Session]:
    """A nurse of cardiology: her ward's zone only."""
    session = await hospital.session(ADELE)
    yield session
    session.close()


@pytest.fixture
async def delorme(hospital: Rig) -> AsyncIterator[Session]:
    """A psychiatrist of the other hospital."""
    session = await hospital.session(DELORME)
    yield session
    session.close()
