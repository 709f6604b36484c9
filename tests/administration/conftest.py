"""A trust of its own for an administrator who looks, imports, and then changes rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from machine_cast import Machine
from running_trust import running_trust


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with running_trust(CLOISTER_DEMO_PATIENTS="5", CLOISTER_SLOTS="16") as trust:
        yield Machine(trust)
