"""A throw-away PostgreSQL for each file that asks for one, and in it a fresh trust with its estate for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from estate_cast import people_and_estate
from postgres import Cluster, cluster


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def pool(database: Cluster) -> AsyncIterator[Any]:
    async with people_and_estate(database) as opened:
        yield opened
