"""An import as a whole: one reader, several sessions, a barrier between stages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cloister.base.errors import CloisterError
from cloister.cli.importing.answers import Refused, Stored, Without
from cloister.cli.importing.bundles import loosened, without
from cloister.cli.importing.channel import Channel
from cloister.cli.importing.journal import Journal
from cloister.cli.importing.progress import ImportProgress
from cloister.cli.importing.report import Report
from cloister.cli.importing.unit import Rejected, Unit
from cloister.cli.place import Trust

WORKERS_MAX: Final = 4  # sessions that a program may have at once
TOGETHER_TURNS: Final = 4  # how often a transaction is sent again without what was refused, before each entry goes on its own
TURNS_MAX: Final = 12


@dataclass(slots=True)
class Import:
    """Everything one run needs; `again` sends also what the journal knows."""

    trust: Trust
    journal: Journal
    report: Report
    progress: ImportProgress
    size: Callable[[], int]  # of the input, as far as known by now
    workers: int = 2
    again: bool = False
    zone: str | None = None

    async def run(self, units: Iterator[Unit | Rejected]) -> None:
        """Send all units. What was under way when a person interrupts is sent again by the next run, and skipped where it is stored."""
        queue: asyncio.Queue[Unit] = asyncio.Queue(self.workers)
        channels = [Channel(self.trust, f"import-{number}", self.progress.say, zone=self.zone) for number in range(self.workers)]
        sending = [asyncio.create_task(self._send(channel, queue)) for channel in channels]
        reading = asyncio.create_task(self._read(units, queue))
        try:
            done, _ = await asyncio.wait([reading, *sending], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a sender ends only by an error
        finally:
            for task in (reading, *sending):
                task.cancel()
            await asyncio.gather(reading, *sending, return_exceptions=True)
            for channel in channels:
                await channel.close()

    async def _read(self, units: Iterator[Unit | Rejected], queue: asyncio.Queue[Unit]) -> None:
        stage = 0
        while (one := await asyncio.to_thread(next, units, None)) is not None:
            if isinstance(one, Rejected):
                self.report.reject(one)
                continue
            if not self.again and self.journal.has(one.digest):
                self.report.counts.skipped += one.size
                self._show(one)
                continue
            if one.stage > stage:
                await queue.join()
                stage = one.stage
            await queue.put(one)
        await queue.join()

    async def _send(self, channel: Channel, queue: asyncio.Queue[Unit]) -> None:
        while True:
            unit = await queue.get()
            await self._store(channel, unit)
            queue.task_done()

    async def _store(self, channel: Channel, unit: Unit) -> None:
        """One unit, less what is refused, until it is in. A unit with refused entries is not journalled: it is to be corrected."""
        left: Unit | None = unit
        whole = True
        for turn in range(TURNS_MAX):
            if left is None:
                break
            answer = await channel.send(left)
            if isinstance(answer, Stored):
                self.report.counts.new += answer.new
                self.report.counts.present += answer.present
                whole = whole and not answer.rejected
                self._reject(answer.rejected)
                break
            whole = False
            if isinstance(answer, Without):
                self._reject(answer.rejected)
                left = without(left, set(answer.places))
            elif isinstance(answer, Refused):
                if left.loose or left.size == 1:
                    self._reject(answer.rejected)
                    break
                left = loosened(left)  # nobody was named, so ask for each
            if left is not None and turn >= TOGETHER_TURNS and not left.loose:
                left = loosened(left)
        self.report.counts.units += 1
        if whole:
            self.journal.add(unit.digest)
        self._show(unit)

    def _reject(self, rejected: tuple[Rejected, ...]) -> None:
        for one in rejected:
            self.report.reject(one)

    def _show(self, unit: Unit) -> None:
        self.progress.show(self.report.counts.done, unit.position / self.size())


def run_import(one: Import, units: Iterator[Unit | Rejected]) -> tuple[float, CloisterError | None, bool]:
    """(seconds, what stopped it, whether a person interrupted it)."""
    began = time.monotonic()
    try:
        with one.progress:
            asyncio.run(one.run(units))
            one.progress.show(one.report.counts.done, 1.0)
    except CloisterError as refused:
        return time.monotonic() - began, refused, False
    except KeyboardInterrupt:
        return time.monotonic() - began, None, True
    return time.monotonic() - began, None, False
