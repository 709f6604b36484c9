"""Bulk import, without a store: which lines are taken, which entry a refusal means, and that no good line is lost."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.records.importing import Imports, Intake
from cloister.records.stored import Outcome

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def body_of(names: list[str]) -> bytes:
    return "\n".join(json.dumps({"resourceType": "Observation", "id": name}) for name in names).encode()


def imported(body: bytes, refused: set[str], *, named: bool) -> tuple[Intake, list[str]]:
    """An import into a store that refuses these ids, saying which entry it means, or not."""
    kept: list[str] = []

    async def write(bundle: dict[str, Any]) -> list[Outcome]:
        ids = [entry["resource"]["id"] for entry in bundle["entry"]]
        for number, id in enumerate(ids):
            if id in refused:
                raise Invalid("No.", expression=f"Bundle.entry[{number}].resource.status" if named else "")
        kept.extend(ids)
        return [Outcome(status="201 Created") for _ in ids]

    async def run() -> Intake:
        job = Imports(write).begin(body, "https://trust.example/fhir/R4/$import", now=NOW)
        assert job.task is not None
        await job.task
        return job

    return asyncio.run(run()), kept


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 600), st.sets(st.integers(0, 599), max_size=12), st.booleans())
def test_everything_good_is_kept_and_each_refused_line_is_reported_once(count: int, bad: set[int], named: bool) -> None:
    names = [f"n{number}" for number in range(count)]
    job, kept = imported(body_of(names), {f"n{number}" for number in bad}, named=named)
    assert job.done
    assert sorted(kept) == sorted(name for number, name in enumerate(names) if number not in bad)
    assert sorted(one.line for one in job.report) == sorted(number + 1 for number in bad if number < count)
    assert job.written == len(kept)


@given(st.lists(st.one_of(st.binary(max_size=30), st.just(b'{"resourceType":"Patient","id":"a"}')), max_size=20))
def test_any_bytes_are_read_line_by_line(lines: list[bytes]) -> None:
    job, kept = imported(b"\n".join(lines), set(), named=True)
    assert job.done
    assert len(kept) + len(job.report) == job.lines
    assert kept in ([], ["a"])


def test_a_right_that_has_ended_stops_nothing_that_was_written_and_is_reported_by_line() -> None:
    async def write(bundle: dict[str, Any]) -> list[Outcome]:
        raise Denied("You hold no zone to write in.", reason="zone-not-held")

    async def run() -> tuple[Intake, CloisterError | None]:
        job = Imports(write).begin(body_of(["a", "b"]), "x", now=NOW)
        assert job.task is not None
        await job.task
        return job, job.failed

    job, _ = asyncio.run(run())
    assert [one.line for one in job.report] == [1, 2]
    assert job.report[0].issues[0]["details"]["coding"][0]["code"] == "zone-not-held"
