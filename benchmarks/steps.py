"""A group's steps, one after the other: one that fails is told in its place, because the others are still worth measuring."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.measure import Result, missing, told

Step = Callable[[], Awaitable[list[Result]]]


def load_now() -> Result:
    """What else this machine does, told before the group itself starts anything."""
    return told("load of this machine before the start (1 minute)", os.getloadavg()[0], "processes")


async def results_of(
    steps: Mapping[str, Step], only: list[str], *, before: list[Result] | None = None, shown: bool = False
) -> list[Result]:
    """What each step found. `only`: these steps, or all; `before`: what is told first, else the load; `shown`: each figure at once."""
    results = [load_now()] if before is None else before
    for name, step in steps.items():
        if only and name not in only:
            continue
        began = time.monotonic()
        print(f"· {name}", end=" ", flush=True, file=sys.stderr)
        try:
            found = await step()
            results += found
            if shown:
                print(*("\n  " + one.name + f": {one.value} {one.unit}" for one in found), end=" ", file=sys.stderr, flush=True)
        except Exception as failed:  # the edge of a step
            traceback.print_exc()
            results.append(missing(name, "", f"{type(failed).__name__}: {str(failed)[:80]}"))
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return results
