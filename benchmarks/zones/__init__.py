"""Group `zones`: what it costs to add somebody, to take somebody out, and to open a zone, against what people do today.

`PLACES` are steps that need the bench's own trust; `APART` are those that need none, as the zones of files.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks import file_zones
from benchmarks.measure import Result, missing, told
from benchmarks.trust import BenchTrust
from benchmarks.zones import adding, auditing, opening, revoking
from benchmarks.zones.place import Place, zones_plan

Step = Callable[[Place], Awaitable[list[Result]]]
Apart = Callable[[], Awaitable[list[Result]]]
PLACES: Final[dict[str, Step]] = {"open": opening.run, "add": adding.run, "revoke": revoking.run, "audit": auditing.run}
APART: Final[dict[str, Apart]] = {"files": lambda: file_zones.run([])}


async def run(only: list[str]) -> list[Result]:
    results = [told("load of this machine before the start (1 minute)", os.getloadavg()[0], "processes")]
    wanted = {name: step for name, step in PLACES.items() if not only or name in only}
    if wanted:
        async with BenchTrust(zones_plan) as trust, Place(trust) as place:
            for name, step in wanted.items():
                results += await _measured(name, lambda step=step: step(place))  # type: ignore[misc]
    for name, apart in APART.items():
        if not only or name in only:
            results += await _measured(name, apart)
    return results


async def _measured(name: str, step: Apart) -> list[Result]:
    began = time.monotonic()
    print(f"· {name}", end=" ", flush=True, file=sys.stderr)
    try:
        return await step()
    except Exception as failed:  # the edge of a step: the others are still worth measuring
        traceback.print_exc()
        return [missing(name, "", f"{type(failed).__name__}: {str(failed)[:80]}")]
    finally:
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
