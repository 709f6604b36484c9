"""A running server for each test that asks for one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parents[1] / "farm"))

from server_rig import Rig, running_server  # noqa: E402


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Rig]:
    async with running_server() as rig:
        yield rig
