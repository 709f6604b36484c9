"""The door's database for each file of this folder, new for each test. The directories themselves: samba_rig.py, slapd_rig.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from directory_cast import doors_pool
from postgres import Cluster, cluster


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def pool(database: Cluster) -> AsyncIterator[Any]:
    async with doors_pool(database) as made:
        yield made
