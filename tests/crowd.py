"""How much longer than on a quiet machine something may take in a test that measures it."""

from __future__ import annotations

import os


def crowded() -> float:
    """How much slower a second is on a machine where more wants to run than can."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
