"""Bulk import: NDJSON into the records of this session, checked like any other write, a report of what was refused. docs/bulk.md.

Each resource is written under its own id, so that the same file sent again writes nothing twice. Patients and places go
before what speaks of them. Everything good is kept; of what is refused the report names line, element, rule and next step.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from cloister.base.errors import Busy, CloisterError, Conflict, Invalid, Unavailable
from cloister.records.jobs import Jobs, new_name
from cloister.records.stored import Outcome
from cloister.records.validation import InvalidResource

LINES_MAX: Final = 500_000
BATCH: Final = 250
REPORTED_MAX: Final = 10_000
PATIENCE: Final = (0.2, 1.0, 5.0)  # seconds before a batch is tried again that met somebody else's write
STAGES: Final = {"Organization": 0, "Location": 0, "Practitioner": 0, "PractitionerRole": 0, "HealthcareService": 0, "Patient": 1}
STAGE_LAST: Final = 2
ENTRY: Final = re.compile(r"Bundle\.entry\[(\d+)\]\.?(?:resource\.?)?(.*)")

Write = Callable[[dict[str, Any]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class Item:
    """One line that holds a resource."""

    line: int  # from 1
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one line was not written."""

    line: int
    name: str
    issues: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class Intake:
    """One import. Its report is final when it is `done`."""

    id: str
    request: str
    began: datetime
    lines: int = 0
    written: int = 0
    present: int = 0
    refused: int = 0
    report: list[Refusal] = field(default_factory=list)
    done: bool = False
    failed: CloisterError | None = None
    task: asyncio.Task[None] | None = None

    def refuse(self, refusal: Refusal) -> None:
        self.refused += 1
        if len(self.report) < REPORTED_MAX:
            self.report.append(refusal)


class Imports:
    """The imports of one session, one after another."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.jobs: Jobs[Intake] = Jobs(1, "Send the file again: what is stored is not written twice.")

    def begin(self, body: bytes, request: str, *, now: datetime) -> Intake:
        self.jobs.check_room()
        job = Intake(new_name(), request, now)
        items = read_lines(body, job)
        self.jobs.start(job, self._run(job, items))
        return job

    async def _run(self, job: Intake, items: list[Item]) -> None:
        try:
            for stage in range(STAGE_LAST + 1):
                chosen = [item for item in items if STAGES.get(item.resource["resourceType"], STAGE_LAST) == stage]
                for start in range(0, len(chosen), BATCH):
                    await self._batch(job, chosen[start : start + BATCH])
                    await asyncio.sleep(0)  # other requests of this session go on
        except CloisterError as refused:  # the store is away, or the session's right to write has ended: the rest was not tried
            job.failed = refused
            return
        job.done = True

    async def _batch(self, job: Intake, items: list[Item]) -> None:
        """One transaction; without those lines that it refuses, until the rest is written."""
        patience = list(PATIENCE)
        while items:
            refused: CloisterError
            try:
                outcomes = await self._write(bundle_of(items))
            except (Busy, Conflict, Unavailable) as later:
                if patience:
                    await asyncio.sleep(patience.pop(0))
                    continue
                if isinstance(later, Unavailable):
                    raise
                refused = later
            except CloisterError as wrong:
                refused = wrong
            else:
                made = sum(outcome.status.startswith("201") for outcome in outcomes)
                job.written, job.present = job.written + made, job.present + len(outcomes) - made
                return
            bad = refusals_of(refused, items)
            if not bad and len(items) > 1:  # it names no entry: each half on its own finds the one that is meant
                await self._batch(job, items[: len(items) // 2])
                items = items[len(items) // 2 :]
                continue
            for place, issues in (bad or {0: (issue_of(refused, ""),)}).items():
                job.refuse(Refusal(items[place].line, items[place].name, issues))
            items = [item for place, item in enumerate(items) if place not in (bad or {0: ()})]


def read_lines(body: bytes, job: Intake) -> list[Item]:
    """The resources, each with its line; what cannot be written is reported at once."""
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(body.split(b"\n"), start=1):
        if not raw.strip():
            continue
        job.lines += 1
        if job.lines > LINES_MAX:
            raise Invalid(f"At most {LINES_MAX} lines are taken at once.", hint="Split the file.", reason="too-costly")
        try:
            resource = orjson.loads(raw)
        except orjson.JSONDecodeError:
            job.refuse(_unfit(number, "?", "json", "This line is not JSON.", "Write one resource a line, in UTF-8."))
            continue
        kind, id = (resource.get("resourceType"), resource.get("id")) if isinstance(resource, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(id, str) or not kind or not id:
            hint = "Give it both: without an id, sending it again would make a second copy."
            job.refuse(_unfit(number, "?", "id", "This line has no resourceType, or no id.", hint))
            continue
        item = Item(number, resource)
        if item.name in seen:
            job.refuse(_unfit(number, item.name, "twice", f"This resource stands in line {seen[item.name]} already.", "Send one of them."))
            continue
        seen[item.name] = number
        items.append(item)
    return items


def bundle_of(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": item.resource, "request": {"method": "PUT", "url": item.name}} for item in items],
    }


def refusals_of(refused: CloisterError, items: Sequence[Item]) -> dict[int, tuple[dict[str, Any], ...]]:
    """The entry that this refusal names, with its issues. A refused resource's own issues name their places within it."""
    entry = ENTRY.match(refused.expression)
    if entry is None or int(entry[1]) >= len(items):
        return {}
    place, kind = int(entry[1]), items[int(entry[1])].resource["resourceType"]
    if isinstance(refused, InvalidResource):
        return {place: tuple(issue_of(one, _within(kind, one.expression)) for one in refused.issues)}
    return {place: (issue_of(refused, _within(kind, refused.expression)),)}


def _within(kind: str, expression: str) -> str:
    """The place as the file's reader knows it: from the resource on."""
    entry = ENTRY.match(expression)
    element = entry[2] if entry is not None else expression
    return element if element.split(".")[0] == kind else f"{kind}.{element}" if element else kind


def issue_of(wrong: Any, expression: str) -> dict[str, Any]:
    """An OperationOutcome's issue for an error, or for one of a resource's faults."""
    rule = str(getattr(wrong, "rule", "") or getattr(wrong, "reason", ""))
    details: dict[str, Any] = {"text": str(wrong.text)} | ({"coding": [{"code": rule}]} if rule else {})
    issue = {"severity": "error", "code": "processing", "details": details}
    if wrong.hint:
        issue["diagnostics"] = str(wrong.hint)
    return issue | ({"expression": [expression]} if expression else {})


def _unfit(line: int, name: str, rule: str, text: str, hint: str) -> Refusal:
    issue = {"severity": "error", "code": "structure", "details": {"text": text, "coding": [{"code": rule}]}, "diagnostics": hint}
    return Refusal(line, name, (issue,))
