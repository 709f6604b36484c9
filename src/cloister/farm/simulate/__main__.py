"""`python -m cloister.farm.simulate`: a day of the trust, its figures and its picture. `make sim`; docs/power.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from cloister.farm.maintenance.windows import Window
from cloister.farm.simulate.draw import picture
from cloister.farm.simulate.figures import figures_of, told
from cloister.farm.simulate.plot import Plot
from cloister.farm.simulate.world import World

TUESDAY = datetime(2026, 11, 24, tzinfo=ZoneInfo("Europe/Paris"))
# One hospital's servers are renewed at night, an eighth of them at once.
NIGHT = Window(id="night", group="river", days=("tue",), start=120, minutes=60, percent=12, deadline=1800)


def main() -> int:
    reader = argparse.ArgumentParser(prog="cloister.farm.simulate", description=__doc__)
    reader.add_argument("--seed", type=int, default=1, help="another day of the same kind")
    reader.add_argument("--picture", type=Path, help="write the picture (SVG) here")
    reader.add_argument("--json", action="store_true", help="the figures as JSON, for a measurement")
    chosen = reader.parse_args()
    began, worked = time.monotonic(), time.process_time()
    world = World(Plot(day=TUESDAY, seed=chosen.seed, window=NIGHT))
    world.run()
    figures = figures_of(world)
    spent = {"seconds": time.monotonic() - began, "processor_seconds": time.process_time() - worked}
    if chosen.json:
        print(json.dumps({**figures.as_json(), **spent}))
        return 0
    print(told(world, figures))
    if chosen.picture is not None:
        chosen.picture.parent.mkdir(parents=True, exist_ok=True)
        chosen.picture.write_text(picture(figures, "A day of the trust"))
        print(f"picture       {chosen.picture}")
    print(f"reckoned in   {spent['seconds']:.1f} s ({spent['processor_seconds']:.1f} s of processor)")
    return 0 if figures.holds else 1


if __name__ == "__main__":
    sys.exit(main())
