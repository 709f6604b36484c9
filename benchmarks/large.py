"""`make bench-large`: a made-up trust of a million resources, what it takes to fill it, what it weighs, and how it answers then.

Seeded, so every run makes the same records; kept in a folder, so that an interrupted run goes on where it stopped and a later
one only measures. docs/scale.md reckons from its figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from benchmarks.fhir.sample import Sample
from benchmarks.load import Connection, saturated
from benchmarks.measure import Result, at_least, at_most, percentile, save, show, told
from benchmarks.trust import BenchTrust
from cloister.assemble import postgres
from cloister.base.clock import system_clock
from cloister.cli.importing.journal import Journal
from cloister.cli.importing.progress import ImportProgress
from cloister.cli.importing.report import Report
from cloister.cli.importing.run import Import, run_import
from cloister.cli.importing.unit import Rejected, Unit
from cloister.demo import portions

HOSPITAL: Final = "saint-roch"
SEED: Final = 1
WORKERS: Final = 2
SESSIONS: Final = 8
CONNECTIONS: Final = 32
SECONDS: Final = 10.0
# Every table with its partitions under one name: rows, bytes of tables, bytes of indexes.
WEIGHT: Final = """
    select n.nspname || '.' || regexp_replace(c.relname, '_\\d+$', '') as name,
           sum(greatest(c.reltuples, 0))::int8 as rows,
           sum(pg_table_size(c.oid))::int8 as tables, sum(pg_indexes_size(c.oid))::int8 as indexes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname in ('care', 'audit')
     group by 1 having sum(pg_table_size(c.oid)) > 65536 order by 3 desc limit 50"""


@dataclass(slots=True)
class Made:
    """What was generated, sent or not."""

    sample: Sample
    resources: int = 0
    patients: int = 0
    json: int = 0

    def units(self, wanted: int) -> Iterator[Unit | Rejected]:
        for number, portion in enumerate(portions(wanted, SEED, hospital=HOSPITAL)):
            entries = portion.bundle["entry"]
            self.sample.learn(entries)
            self.resources += len(entries)
            self.patients += number > 0
            body = orjson.dumps(portion.bundle)
            self.json += sum(len(orjson.dumps(entry["resource"])) for entry in entries)
            # The register goes in before the patients who refer to it.
            numbers = tuple(range(1, len(entries) + 1))
            yield Unit(source=portion.name, body=body, numbers=numbers, stage=min(number, 1), position=self.resources)
            if self.resources >= wanted:
                return


def fill(trust: BenchTrust, wanted: int) -> tuple[Made, int, float]:
    """(what was made, resources that this run stored, seconds); raises what stopped it, and goes on there the next time."""
    made = Made(Sample(random.Random(SEED)))
    folder = trust.folder / "import"
    report, journal = Report(folder, system_clock()), Journal(folder, HOSPITAL)
    one = Import(
        trust=trust.importer(), journal=journal, report=report, progress=ImportProgress("made up"), size=lambda: wanted, workers=WORKERS
    )
    seconds, stopped, interrupted = run_import(one, made.units(wanted))
    journal.close()
    if stopped is not None:
        raise stopped
    if interrupted or report.counts.rejected:
        raise SystemExit(f"stopped with {report.counts.rejected} rejected; run it again: it goes on where it stopped")
    return made, report.counts.new, seconds


async def weigh(trust: BenchTrust, made: Made) -> list[Result]:
    connection = await postgres.owner_connection(trust.settings)
    try:
        await connection.execute("analyze")
        rows = await connection.fetch(WEIGHT)
        await connection.execute("reindex table concurrently care.res")
        rebuilt = await connection.fetchval("select pg_indexes_size('care.res')")
    finally:
        await connection.close()
    results = []
    for row in rows:
        name = f"{row['name']}, {row['rows']:,} rows: table / indexes"
        results.append(Result(name=name, value=row["tables"], unit="bytes", baseline=row["indexes"]))
    care = sum(row["tables"] + row["indexes"] for row in rows if row["name"].startswith("care."))
    results.append(at_most("bytes stored against compact JSON, indexes included", care / made.json, "ratio", 0.7))
    results.append(told("bytes stored a resource", care / made.resources, "bytes"))
    before = next(row["indexes"] for row in rows if row["name"] == "care.res")
    results.append(told("the same after reindex table concurrently care.res", (care - before + rebuilt) / made.resources, "bytes"))
    return results


async def ask(trust: BenchTrust, made: Made) -> list[Result]:
    """Reading by id and the newest values of one code, at this size."""
    chance = random.Random(SEED)
    tokens = await trust.sessions(SESSIONS)
    port, tls = trust.settings.port, trust.tls()
    connections = [await Connection.open(port, tls, tokens[number % SESSIONS]) for number in range(CONNECTIONS)]

    async def get(connection: Connection, path: str) -> None:
        status, body = await connection.request("GET", path)
        if status != 200:
            raise RuntimeError(f"{path.partition('?')[0]} answered {status}: {body[:200]!r}")

    async def read(connection: Connection, turn: int) -> None:
        await get(connection, f"/fhir/R4/{chance.choice(made.sample.resources)}")

    async def series(connection: Connection, turn: int) -> None:
        patient, code = chance.choice(made.sample.series)
        await get(connection, f"/fhir/R4/Observation?patient={patient}&code={code.replace('|', '%7C')}&_sort=-date&_count=50")

    results = []
    for name, work, goal in (("read by id", read, 3000), ("Observation?patient&code&_sort=-date&_count=50", series, 500)):
        await saturated(connections, work, seconds=3)
        rate, times = await saturated(connections, work, seconds=SECONDS)
        results.append(at_least(f"{name}, {CONNECTIONS} connections", rate, "requests/s", goal))
        results.append(told(f"{name}, median / p99 without pause: {percentile(times, 50):.1f} /", percentile(times, 99), "ms"))
    for connection in connections:
        connection.close()
    return results


class _Running:
    """The trust in an event loop of its own, because an import brings its own."""

    def __init__(self, folder: Path) -> None:
        self.trust = BenchTrust(kept=folder)

    def __enter__(self) -> BenchTrust:
        return asyncio.run(self.trust.__aenter__())

    def __exit__(self, *failed: object) -> None:
        asyncio.run(self.trust.__aexit__(*failed))


def main() -> int:
    reader = argparse.ArgumentParser(prog="benchmarks.large", description=__doc__)
    reader.add_argument("--resources", type=int, default=1_000_000)
    reader.add_argument("--folder", type=Path, default=Path(".bench-large"))
    chosen = reader.parse_args()
    results = [told("load of this machine before the start (1 minute)", os.getloadavg()[0], "processes")]
    with _Running(chosen.folder.absolute()) as trust:
        made, stored, seconds = fill(trust, chosen.resources)
        results.append(told("resources", made.resources, "resources"))
        results.append(told("patients", made.patients, "patients"))
        if stored:
            results.append(told(f"import, making them included, {stored:,} in this run", stored / seconds, "resources/s"))
        results += asyncio.run(weigh(trust, made))
        results += asyncio.run(ask(trust, made))
    show("large", results)
    print(f"written to {save('large', results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
