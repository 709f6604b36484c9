"""What the load took, and what it takes on the disk: validated, sealed, indexed, beside the same into plaintext JSONB tables."""

from __future__ import annotations

from typing import Final

from benchmarks.fhir.bench import FhirBench
from benchmarks.hospital.importing import size_of
from benchmarks.measure import Result, at_least, ratio_at_least, told
from benchmarks.plaintext.server import DATABASE
from cloister.assemble import postgres

RATE_GOAL: Final = 15_000
RATIO_GOAL: Final = 1.0
BYTES_GOAL: Final = 0.7


async def run(bench: FhirBench) -> list[Result]:
    loaded = bench.loaded
    rate, plain = loaded.resources / loaded.seconds, loaded.resources / loaded.plain_seconds
    return [
        at_least(f"import, sealed, {loaded.resources:,} resources", rate, "resources/s", RATE_GOAL),
        ratio_at_least("import, sealed against plaintext JSONB, in turns", rate, plain, "resources/s", RATIO_GOAL),
        told("processor time of an imported resource, sealed, client included", loaded.processor_seconds / loaded.resources * 1e6, "µs"),
        told("the same, plaintext", loaded.plain_processor_seconds / loaded.resources * 1e6, "µs"),
    ]


async def stored(bench: FhirBench) -> list[Result]:
    """Tables and indexes as they lie there after the load, free space included; the audit log, the same for both, is not counted."""
    sealed = await size_of(bench.trust, postgres.DATABASE, "care")
    plain = await size_of(bench.trust, DATABASE, "plain")
    of_json = sealed / bench.loaded.json
    return [
        Result(
            name="bytes stored against compact JSON, indexes included",
            value=sealed,
            unit="bytes",
            baseline=bench.loaded.json,
            ratio=round(of_json, 3),
            goal=f"ratio <= {BYTES_GOAL:g}",
            holds=of_json <= BYTES_GOAL,
        ),
        Result(name="bytes stored against plaintext JSONB", value=sealed, unit="bytes", baseline=plain, ratio=round(sealed / plain, 3)),
        told("bytes stored a resource", sealed / bench.loaded.resources, "bytes"),
    ]
