"""A working day of the trust on a virtual clock (`make sim`): the time that takes, its energy, its longest wait. docs/power.md."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Final

from benchmarks.measure import Result, at_most, told

SECONDS_GOAL: Final = 60.0
RATIO_GOAL: Final = 1.10
WAIT_GOAL: Final = 5.0
LIMIT_SECONDS: Final = 900.0


async def run(only: list[str]) -> list[Result]:
    """In a process of its own, so that nothing that ran before weighs on it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cloister.farm.simulate", "--json", stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    out, _ = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    day: dict[str, Any] = json.loads(out)
    return [
        at_most("a simulated day of the trust, processor time", day["processor_seconds"], "s", SECONDS_GOAL),
        told("the same, wall time", day["seconds"], "s"),
        at_most("energy against the clairvoyant optimum", day["ratio"], "times", RATIO_GOAL),
        at_most("the longest wait for a server", day["longest_wait"], "s", WAIT_GOAL),
        told("energy saved against always on", 100 * day["saved"], "%"),
        told("sessions at once, at most", day["sessions_most"], "sessions"),
    ]
