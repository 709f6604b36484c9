"""Officers at work on a real trust: the store tests' rig, with two officers of each office."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records" / "store"))
sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from offices_cast import House, house


@pytest.fixture(scope="session")
def trust() -> Iterator[House]:
    with house() as made:
        yield made
