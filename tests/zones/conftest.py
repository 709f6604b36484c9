from __future__ import annotations

import pytest
from zones_cast import Trust


@pytest.fixture(scope="session")
def trust() -> Trust:
    return Trust()
