"""The chart page of the largest patient, as a doctor's browser asks for it."""

from __future__ import annotations

import time

from benchmarks.hospital.bench import Bench
from benchmarks.hospital.person import signed_in
from benchmarks.measure import Result, at_most, percentile, told

PAGES = 60
P95_GOAL = 300.0


async def run(bench: Bench) -> list[Result]:
    doctor = next(person for person in bench.trust.sign_ins()["people"] if person["role"] == "doctor")
    patient, resources = bench.largest
    times: list[float] = []
    client = await signed_in(bench.trust, doctor["sign_in"], doctor["passphrase"])
    try:
        for _ in range(PAGES):
            began = time.perf_counter()
            page = await client.get(f"/patients/{patient}", headers={"accept": "text/html"})
            page.raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
    finally:
        await client.post("/session/end")
        await client.aclose()
    return [
        told("chart page, the first time", times[0], "ms"),
        at_most(f"chart page of {resources:,} resources, p95", percentile(times, 95), "ms", P95_GOAL),
    ]
