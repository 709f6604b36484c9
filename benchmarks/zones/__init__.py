"""Group `zones`: what it costs to add somebody, to take somebody out, and to open a zone, against what people do today.

`PLACES` are steps that need the bench's own trust; `APART` are those that need none, as the zones of files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from benchmarks import file_zones
from benchmarks.measure import Result
from benchmarks.steps import load_now, results_of
from benchmarks.trust import BenchTrust
from benchmarks.zones import adding, auditing, opening, revoking
from benchmarks.zones.place import Place, zones_plan

Step = Callable[[Place], Awaitable[list[Result]]]
Apart = Callable[[], Awaitable[list[Result]]]
PLACES: Final[dict[str, Step]] = {"open": opening.run, "add": adding.run, "revoke": revoking.run, "audit": auditing.run}
APART: Final[dict[str, Apart]] = {"files": lambda: file_zones.run([])}


async def run(only: list[str]) -> list[Result]:
    results = [load_now()]
    wanted = {name: step for name, step in PLACES.items() if not only or name in only}
    if wanted:
        async with BenchTrust(zones_plan) as trust, Place(trust) as place:
            results = await results_of({name: partial(step, place) for name, step in wanted.items()}, [], before=results)
    return await results_of(APART, only, before=results)
