"""A drawer of cards for each test; skipped, and said so, where there is no SoftHSM2."""

from __future__ import annotations

from pathlib import Path

import pytest
from card_rig import MISSING, CardDrawer, available


@pytest.fixture
def drawer(tmp_path: Path) -> CardDrawer:
    if not available():
        pytest.skip(MISSING)
    return CardDrawer(tmp_path)
