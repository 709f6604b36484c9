"""What the steps share: a running trust, the plaintext baseline beside it, the same records in both, and what to ask for."""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import orjson

from benchmarks.fhir.loading import Taken, in_parts
from benchmarks.fhir.sample import Sample, whole_records
from benchmarks.load import Connection
from benchmarks.plaintext.server import PlainServer
from benchmarks.trust import BenchTrust
from cloister.cli.importing.reading import Reading
from cloister.cli.importing.unit import Unit

RESOURCES: Final = int(os.environ.get("CLOISTER_BENCH_RESOURCES", "40000"))
# Four programs, each with sixteen connections: what a trust's interfaces are, not what its people are (that is group `hospital`).
SESSIONS: Final = int(os.environ.get("CLOISTER_BENCH_SESSIONS", "4"))
CONNECTIONS: Final = 64
PARTS: Final = 6  # of what is loaded, sealed and plaintext in turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the import took: of both, by the same client, in turns of a few patients. `json`: bytes of the resources as compact JSON."""

    resources: int
    json: int
    seconds: float
    plain_seconds: float
    processor_seconds: float
    plain_processor_seconds: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    connections: list[Connection]
    processes: list[int]


class FhirBench:
    """`async with FhirBench(trust) as bench`: both hold the same records when entered."""

    loaded: Loaded
    sample: Sample
    sealed: Side
    plain: Side

    def __init__(self, trust: BenchTrust) -> None:
        self.trust = trust
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self.server = await self._stack.enter_async_context(PlainServer(self.trust, sessions=SESSIONS))
            await self._load()
            tls, port = self.trust.tls(), self.trust.settings.port
            tokens, plain = await self.trust.sessions(SESSIONS), self.server.tokens()
            turns = [number % SESSIONS for number in range(CONNECTIONS)]
            own = self.server.port
            self.sealed = Side("sealed", [await Connection.open(port, tls, tokens[turn]) for turn in turns], self.trust.processes)
            self.plain = Side("plaintext", [await Connection.open(own, tls, plain[turn]) for turn in turns], self.server.processes)
        except BaseException:  # an edge: whatever happened, the baseline's processes end
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in (*self.sealed.connections, *self.plain.connections):
            connection.close()
        await self._stack.aclose()

    async def _load(self) -> None:
        source = self._source()
        self.sample = Sample(random.Random(1))
        compact = 0
        for unit in Reading(source).units():
            if isinstance(unit, Unit):
                entries = unit.bundle()["entry"]
                self.sample.learn(entries)
                compact += sum(len(orjson.dumps(entry["resource"])) for entry in entries)
        began = time.monotonic()
        sealed, plain = Taken(), Taken()
        for number, part in enumerate(in_parts(source, self.trust.folder / "parts", PARTS)):
            place = self.trust.folder / f"load-{number}"
            await plain.take(self.server.importer(), part, place / "plain", self.server.processes)
            await sealed.take(self.trust.importer(), part, place / "sealed", self.trust.processes)
        assert sealed.resources == plain.resources
        self.loaded = Loaded(
            resources=sealed.resources,
            json=compact,
            seconds=sealed.seconds,
            plain_seconds=plain.seconds,
            processor_seconds=sealed.processor_seconds,
            plain_processor_seconds=plain.processor_seconds,
        )
        print(f"· {sealed.resources:,} resources loaded twice {time.monotonic() - began:.0f} s", file=sys.stderr)

    def _source(self) -> Path:
        """A folder of bundles, a patient each: `CLOISTER_BENCH_DATA`, or made-up ones."""
        given = os.environ.get("CLOISTER_BENCH_DATA", "")
        if given and Path(given).exists():
            return Path(given)
        return whole_records(self.trust.folder / "made", RESOURCES)
