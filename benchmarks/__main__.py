"""`python -m benchmarks [--only GROUP]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import uvloop

from benchmarks import farm, fhir, gateway, hospital, zones
from benchmarks.measure import Result, save, show

Group = Callable[[list[str]], Coroutine[Any, Any, list[Result]]]
GROUPS: Final[dict[str, Group]] = {"farm": farm.run, "fhir": fhir.run, "gateway": gateway.run, "hospital": hospital.run, "zones": zones.run}


def main() -> int:
    reader = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    reader.add_argument("--only", choices=sorted(GROUPS), help="one group")
    reader.add_argument("--steps", default="", help="of a group, only these steps, comma-separated")
    chosen = reader.parse_args()
    missed = 0
    for name in [chosen.only] if chosen.only else sorted(GROUPS):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(GROUPS[name]([step for step in chosen.steps.split(",") if step]))
        show(name, results)
        print(f"written to {save(name, results)}")
        missed += sum(1 for result in results if result.holds is False)
    if missed:
        print(f"{missed} goals are not met on this machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
