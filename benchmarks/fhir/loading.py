"""The load itself, in parts, so that sealed and plaintext take turns on the same machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hospital.importing import imported
from benchmarks.processor import used_by
from cloister.cli.importing.reading import Reading
from cloister.cli.importing.unit import Unit
from cloister.cli.place import Trust


@dataclass(slots=True)
class Taken:
    """So far. Processor time is the client's and that of everything that serves it."""

    resources: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0

    async def take(self, trust: Trust, part: Path, place: Path, processes: list[int]) -> None:
        place.mkdir(parents=True)
        before = used_by([*processes, os.getpid()])
        resources, seconds = await imported(trust, part, place)
        self.processor_seconds += used_by([*processes, os.getpid()]) - before
        self.resources += resources
        self.seconds += seconds


def in_parts(source: Path, folder: Path, parts: int) -> list[Path]:
    """The bundles of `source`, unpacked into so many folders, in their order: what others refer to stays first."""
    bodies = [unit.body for unit in Reading(source).units() if isinstance(unit, Unit)]
    each = -(-len(bodies) // parts)
    made = []
    for start in range(0, len(bodies), each):
        made.append(folder / f"{start:06}")
        made[-1].mkdir(parents=True)
        for number, body in enumerate(bodies[start : start + each], start=start):
            (made[-1] / f"{number:06}.json").write_bytes(body)
    return made
