"""What all tests may use: one whole trust, started once for those who ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest
from running_trust import RunningTrust, running_trust

DEMO_PATIENTS: Final = "12"


@pytest.fixture(scope="session")
def trust() -> Iterator[RunningTrust]:
    """The demo trust, running, with a few patients. Who changes what others rely on starts one of their own (running_trust)."""
    with running_trust(CLOISTER_DEMO_PATIENTS=os.environ.get("CLOISTER_TEST_PATIENTS", DEMO_PATIENTS)) as running:
        yield running
