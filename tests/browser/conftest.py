"""A browser for each test, at the one running trust; skipped, and said so, where there is no Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_rig import Desk, browser_at, chromium
from running_trust import RunningTrust


@pytest.fixture
def desk(trust: RunningTrust, tmp_path: Path) -> Iterator[Desk]:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with browser_at(trust, tmp_path / "profile") as opened:
        yield opened
        assert opened.faults == []
