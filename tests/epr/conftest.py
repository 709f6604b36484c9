"""The cast's record: one small patient of known facts, fresh for each test; the demo's patients once for all."""

from __future__ import annotations

import pytest
from epr_cast import MemoryRecord, demo_record, patient


@pytest.fixture
def record() -> MemoryRecord:
    """Mrs Lopez, 4711, and nothing else."""
    record = MemoryRecord()
    record.add(patient())
    return record


@pytest.fixture(scope="session")
def demo() -> MemoryRecord:
    """Read it, do not write to it."""
    return demo_record()
