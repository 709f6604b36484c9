"""From a path to units, in the order in which they may be stored: places and people of the hospital, patients, the rest.

Transaction bundles stand for themselves, so one pass is enough for them; NDJSON and collections, where an Observation may
come before its Patient, are read once for each stage that they hold. Only one unit is held in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cloister.base.errors import Invalid
from cloister.cli.importing import bundles, sources
from cloister.cli.importing.unit import Rejected, Unit


class Reading:
    """The input, opened as often as needed. `size` grows when a further pass turns out to be needed."""

    def __init__(self, path: Path) -> None:
        self._files = sources.files_of(path)
        self._root = path
        self._bytes = sources.size_of(self._files)
        self._wanted: set[int] = set()
        self.size = max(1, self._bytes)

    def units(self) -> Iterator[Unit | Rejected]:
        yield from self._pass(0, 0)
        later = sorted(self._wanted)
        self.size = max(1, self._bytes * (1 + len(later)))
        for number, stage in enumerate(later, start=1):
            yield from self._pass(stage, number * self._bytes)

    def _pass(self, stage: int, before: int) -> Iterator[Unit | Rejected]:
        for file in self._files:
            name = sources.name_of(file, self._root)
            try:
                for text in sources.texts_of(file, name, before):
                    yield from self._of_stage(text, stage)
            except Invalid as broken:
                if stage == 0:
                    yield bundles.rejected(name, None, None, "", "file", broken.text, broken.hint)
            before += file.stat().st_size

    def _of_stage(self, text: sources.Text, stage: int) -> Iterator[Unit | Rejected]:
        """What of this text goes in the present pass; faults are said in the first one."""
        for one in self._lines(text, stage) if text.lines else bundles.units_of_bundle(text.name, sources.whole(text), text.position):
            if isinstance(one, Rejected) or one.alone:
                if stage == 0:
                    yield one
            elif one.stage == stage:
                yield one
            elif stage == 0:
                self._wanted.add(one.stage)

    def _lines(self, text: sources.Text, stage: int) -> Iterator[Unit | Rejected]:
        """NDJSON (http://ndjson.org): each line a resource; those of this stage, in batches."""
        chunk: list[tuple[int, bundles.Entry]] = []
        for number, line in sources.numbered_lines(text):
            read = bundles.line_entry(text.name, number, line)
            if isinstance(read, Rejected):
                yield read
                continue
            place, entry = read
            if place == stage:
                chunk.append((number, entry))
                if len(chunk) == bundles.BATCH_ENTRIES:
                    yield bundles.batch_unit(text.name, chunk, text.position, stage)
                    chunk = []
            elif stage == 0:
                self._wanted.add(place)
        if chunk:
            yield bundles.batch_unit(text.name, chunk, text.position, stage)
