"""One Envoy for all tests of the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway_rig import Rig, running_gateway


@pytest.fixture(scope="session")
def gateway() -> Iterator[Rig]:
    with running_gateway() as rig:
        yield rig
