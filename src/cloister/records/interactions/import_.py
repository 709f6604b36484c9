"""$import: many resources as NDJSON, asked for now, reported later. After the bulk import proposal beside HL7 Bulk Data Access.

The proposal lets the server fetch files; a session has no network, so the client sends them: POST, one resource a line. The
report is NDJSON too, an OperationOutcome for each line that was refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.formats import media_type
from cloister.records.fhir.outcomes import WrongMedia
from cloister.records.fhir.text import encode
from cloister.records.importing import Intake, Refusal
from cloister.records.interactions.export import FORMATS, NDJSON, POLL_SECONDS, asks_later

STATUS: Final = "$import-status"
REPORT: Final = "$import-report"


async def begin(exchange: Exchange) -> Response:
    asks_later(exchange, "An import")
    if media_type(exchange.request) not in FORMATS:
        raise WrongMedia("An import is NDJSON.", hint=f"Send one resource a line, with Content-Type: {NDJSON}.")
    body = await exchange.body()
    job = exchange.records.imports(exchange.zone).begin(body, str(exchange.request.url), now=datetime.now(UTC))
    return Response(status_code=202, headers={"Content-Location": f"{exchange.base}/{STATUS}/{job.id}"})


async def status(exchange: Exchange) -> Response:
    """How far it is, and then what became of it."""
    job = exchange.records.imports().jobs.get(exchange.path["job"])
    if job.failed is not None:
        raise job.failed
    if not job.done:
        progress = f"{job.written + job.present + job.refused} of {job.lines} lines"
        return Response(status_code=202, headers={"X-Progress": progress, "Retry-After": POLL_SECONDS})
    return Response(encode(manifest(job, exchange.base)), media_type="application/json")


def manifest(job: Intake, base: str) -> dict[str, Any]:
    report = [{"type": "OperationOutcome", "url": f"{base}/{REPORT}/{job.id}", "count": len(job.report)}] if job.report else []
    return {
        "transactionTime": job.began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": job.request,
        "requiresAccessToken": True,
        "output": [],
        "error": report,
        "extension": {"lines": job.lines, "written": job.written, "present": job.present, "refused": job.refused},
    }


async def report(exchange: Exchange) -> Response:
    """An OperationOutcome a line, for each line of the import that was refused."""
    job = exchange.records.imports().jobs.get(exchange.path["job"])
    return Response(b"".join(outcome_line(one) for one in job.report), media_type=NDJSON, headers={"cache-control": "no-store"})


def outcome_line(refusal: Refusal) -> bytes:
    """`location` names the line and the resource; it holds nothing else of the resource."""
    place = [f"line {refusal.line}: {refusal.name}"[:120]]
    return encode({"resourceType": "OperationOutcome", "issue": [{**issue, "location": place} for issue in refusal.issues]}) + b"\n"


async def cancel(exchange: Exchange) -> Response:
    exchange.records.imports().jobs.end(exchange.path["job"])
    return Response(status_code=202)
