"""What all tests may use: one whole trust, started once for those who ask for it."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from running_trust import RunningTrust, founded_folder, running_trust

from cloister.zones import algorithms

DEMO_PATIENTS: Final = "12"

# The same few people sign in again and again, and each derivation costs a quarter of a second of processor: the same input, the same bytes.
algorithms.argon2id = functools.lru_cache(maxsize=4096)(algorithms.argon2id)


def pytest_sessionfinish() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(founded_folder(), ignore_errors=True)


@pytest.fixture(scope="session")
def trust() -> Iterator[RunningTrust]:
    """The demo trust, running, with a few patients. Who changes what others rely on starts one of their own (running_trust)."""
    settings = {"CLOISTER_CARD_HOST": "card.localhost"}
    with running_trust(**settings, CLOISTER_DEMO_PATIENTS=os.environ.get("CLOISTER_TEST_PATIENTS", DEMO_PATIENTS)) as running:
        yield running
