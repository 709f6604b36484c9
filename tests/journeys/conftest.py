"""The running trusts of the journeys: the one that all tests share, and one whose parts are broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from journeys_cast import Administrator, Company
from running_trust import RunningTrust, running_trust


@pytest.fixture(scope="session")
def company(trust: RunningTrust) -> Iterator[Company]:
    """People and programs of the shared trust."""
    with_trust = Company(trust)
    yield with_trust
    with_trust.close()


@pytest.fixture(scope="session")
def administrator(trust: RunningTrust) -> Administrator:
    return Administrator.of(trust)


@pytest.fixture(scope="session")
def besieged() -> Iterator[RunningTrust]:
    """A trust without patients whose rows are forged and whose processes are killed."""
    with running_trust(CLOISTER_DEMO_PATIENTS="0", CLOISTER_SLOTS="48") as running:
        yield running


@pytest.fixture(scope="session")
def garrison(besieged: RunningTrust) -> Iterator[Company]:
    """People and programs of the besieged trust."""
    with_trust = Company(besieged)
    yield with_trust
    with_trust.close()


@pytest.fixture(scope="session")
def intruder(besieged: RunningTrust) -> Administrator:
    """The besieged trust's database administrator, of bad intent."""
    return Administrator.of(besieged)
