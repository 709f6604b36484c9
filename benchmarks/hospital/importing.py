"""Import of the Synthea resources, sealed, and the same import into plaintext JSONB tables, by the same client, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hospital.bench import Bench
from benchmarks.measure import Result, at_least, ratio_at_least, told
from benchmarks.plaintext.server import DATABASE, PlainServer
from benchmarks.trust import BenchTrust
from cloister.assemble import postgres
from cloister.base.clock import system_clock
from cloister.cli.importing.journal import Journal
from cloister.cli.importing.progress import ImportProgress
from cloister.cli.importing.reading import Reading
from cloister.cli.importing.report import Report
from cloister.cli.importing.run import Import
from cloister.cli.importing.unit import Rejected, Unit
from cloister.cli.place import Trust

WORKERS = 2
RATE_GOAL = 8_000
RATIO_GOAL = 0.8
SIZE = "select sum(pg_total_relation_size(c.oid))::int8 from pg_class c where c.relkind = 'r' and c.relnamespace = $1::text::regnamespace"


async def imported(trust: Trust, source: Path, folder: Path) -> tuple[int, float]:
    """(resources stored, seconds), from reading the first byte to the last answer."""
    reading = Reading(source)
    report = Report(folder, system_clock())
    journal = Journal(folder, trust.program.hospital)
    one = Import(
        trust=trust,
        journal=journal,
        report=report,
        progress=ImportProgress("bench"),
        size=lambda: reading.size,
        workers=WORKERS,
        again=True,
    )
    units: Iterator[Unit | Rejected] = reading.units()
    began = time.perf_counter()
    await one.run(units)
    seconds = time.perf_counter() - began
    journal.close()
    if report.counts.rejected:
        raise RuntimeError(f"{report.counts.rejected} entries were rejected: {report.shown[:1]}")
    return report.counts.new + report.counts.present, seconds


async def size_of(trust: BenchTrust, database: str, schema: str) -> int:
    """Bytes of a schema's tables and indexes."""
    connection = await postgres.owner_connection(trust.settings, database)
    try:
        size: int = await connection.fetchval(SIZE, schema)
        return size
    finally:
        await connection.close()


async def run(bench: Bench) -> list[Result]:
    source = bench.source()
    async with PlainServer(bench.trust, sessions=WORKERS) as plain:
        # Once each unmeasured would also warm the disk for the second: so plaintext goes first, and has no advantage left.
        plain_count, plain_seconds = await imported(plain.importer(), source, bench.trust.folder / "plain-import")
        plain_bytes = await size_of(bench.trust, DATABASE, "plain")
    count, seconds = await imported(bench.trust.importer(), source, bench.trust.folder / "sealed-import")
    sealed_bytes = await size_of(bench.trust, postgres.DATABASE, "care")
    bench.learn(bench.units())
    assert count == plain_count
    return [
        at_least(f"import, sealed, {count:,} resources", count / seconds, "resources/s", RATE_GOAL),
        ratio_at_least("import, sealed against plaintext JSONB", count / seconds, plain_count / plain_seconds, "resources/s", RATIO_GOAL),
        Result(
            name="bytes stored, indexes included",
            value=sealed_bytes,
            unit="bytes",
            baseline=plain_bytes,
            ratio=round(sealed_bytes / plain_bytes, 3),
        ),
        told("bytes stored a resource", sealed_bytes / count, "bytes"),
    ]
