"""A running server for each file, or for each test that breaks it. A server costs two and a half seconds of processor."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parents[1] / "farm"))

from server_rig import Rig, running_server  # noqa: E402


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing() -> AsyncIterator[Rig]:
    """The server of a file whose tests break nothing; such a file runs in one loop (`IN_ONE_LOOP`)."""
    async with running_server() as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def server(standing: Rig) -> AsyncIterator[Rig]:
    """It, with nobody signed in."""
    yield standing
    standing.limits = {}
    for session in await standing.listed():
        await standing.broker.end_session(session, "test-over")
    deadline = time.monotonic() + 15
    while await standing.listed():
        assert time.monotonic() < deadline, standing.log.read_text()[-3000:]
        await asyncio.sleep(0.02)
    standing.gate.notes.clear()
    standing.seen.clear()
