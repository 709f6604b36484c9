"""An encrypted folder of a ward, and a mount of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from files_rig import mounted, new_folder, zone_keys


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder as it lies on the storage."""
    return new_folder(tmp_path)


@pytest.fixture
def point(stored: Path, tmp_path: Path) -> Iterator[Path]:
    """The same folder as Claire sees it."""
    with mounted(zone_keys(), stored, tmp_path / "claire") as mount:
        yield mount.point
