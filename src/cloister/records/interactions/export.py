"""$export: bulk data, asked for now and fetched later. HL7 Bulk Data Access 2.0, http://hl7.org/fhir/uv/bulkdata/export.html.

202 with Content-Location; there 202 with X-Progress while it runs, then the manifest; files are NDJSON. DELETE cancels. The
job and its files belong to the session that began it, and end with it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from cloister.base.errors import Invalid, NotFound
from cloister.records.exporting import File, Job, Wanted, check_filter
from cloister.records.fhir import ranges
from cloister.records.fhir.answering import compresses
from cloister.records.fhir.exchange import Exchange, preferences
from cloister.records.fhir.outcomes import issue, outcome
from cloister.records.fhir.text import encode
from cloister.records.interactions.parameters import Sent, moment, sent, single, types
from cloister.records.search import Query, parse_url
from cloister.records.search.entry import TIME_MIN

NDJSON: Final = "application/fhir+ndjson"
FORMATS: Final = frozenset({NDJSON, "application/ndjson", "ndjson"})
OFFERED: Final = ("_outputFormat", "_since", "_type", "_typeFilter", "_elements", "_format", "_pretty")
FILTERS_MAX: Final = 50
NEXT_FILTER: Final = re.compile(r",(?=[A-Z][A-Za-z]{1,60}\?)")  # a comma may also stand inside a query
STATUS: Final = "$export-status"
FILE: Final = "$export-file"
POLL_SECONDS: Final = "2"


async def of_system(exchange: Exchange) -> Response:
    return await _begun(exchange, Wanted())


async def of_patients(exchange: Exchange) -> Response:
    return await _begun(exchange, Wanted(of_patients=True))


async def of_group(exchange: Exchange) -> Response:
    return await _begun(exchange, Wanted(group=exchange.path["id"]))


async def _begun(exchange: Exchange, level: Wanted) -> Response:
    asks_later(exchange, "An export")
    found = await sent(exchange)
    wanted = wanted_of(found, level, strict=exchange.strict, base=exchange.base)
    now = datetime.now(UTC)
    job = await exchange.records.exports.begin(wanted, str(exchange.request.url), now=now)
    return Response(status_code=202, headers={"Content-Location": f"{exchange.base}/{STATUS}/{job.id}"})


def asks_later(exchange: Exchange, what: str) -> None:
    if "respond-async" not in preferences(exchange.request):
        raise Invalid(f"{what} is asked for now and fetched later.", hint="Send Prefer: respond-async.", reason="respond-async")


def wanted_of(sent: Sent, level: Wanted, *, strict: bool, base: str) -> Wanted:
    """The parameters, read; an unknown one is left out, or refused with `Prefer: handling=strict`."""
    known = [pair for pair in sent.values if pair[0] in OFFERED]
    found = Sent(sent.values if strict else known, {}).of(*OFFERED)
    format = single(found, "_outputFormat")
    if format is not None and format.replace(" ", "+") not in FORMATS:
        raise Invalid("Files are written as NDJSON only.", hint=f"Ask for {NDJSON}.", expression="_outputFormat")
    since = moment(found, "_since")
    chosen = types(found)
    elements = tuple(name.strip() for text in found.get("_elements", []) for name in text.split(",") if name.strip())
    filters = tuple(_filter(text, base) for several in found.get("_typeFilter", []) for text in NEXT_FILTER.split(several) if text.strip())
    if len(filters) > FILTERS_MAX:
        raise Invalid(f"At most {FILTERS_MAX} filters are read.", hint="Send fewer.", expression="_typeFilter")
    return Wanted(
        types=chosen,
        since=since[0] if since else TIME_MIN,
        elements=elements,
        filters=filters,
        of_patients=level.of_patients,
        group=level.group,
    )


def _filter(text: str, base: str) -> Query:
    query = parse_url(text.strip(), strict=True, base=base)
    check_filter(query)
    return query


async def status(exchange: Exchange) -> Response:
    """How far it is, and then what to fetch."""
    job = exchange.records.exports.jobs.get(exchange.path["job"])
    if job.failed is not None:
        raise job.failed
    if not job.done:
        return Response(status_code=202, headers={"X-Progress": f"{job.looked_at} records looked at", "Retry-After": POLL_SECONDS})
    return Response(encode(manifest(job, exchange.base)), media_type="application/json")


def manifest(job: Job, base: str) -> dict[str, Any]:
    return {
        "transactionTime": job.began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": job.request,
        "requiresAccessToken": True,
        "output": [
            {"type": file.type, "url": f"{base}/{FILE}/{job.id}/{number}", "count": file.count} for number, file in enumerate(job.files)
        ],
        "error": [],
    }


async def cancel(exchange: Exchange) -> Response:
    exchange.records.exports.jobs.end(exchange.path["job"])
    return Response(status_code=202)


async def file(exchange: Exchange) -> Response:
    """One file, made while it is sent; from where it was interrupted, as long as it is still the same (RFC 9110 13.1.5, 14)."""
    exports, number = exchange.records.exports, exchange.path["number"]
    job = exports.jobs.get(exchange.path["job"])
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise NotFound("There is no such file.", hint="The job's status lists its files.")
    asked = ranges.asked(exchange.request.headers.get("range", ""))
    if asked is not None and _same(exchange, exports.file(job, int(number))):
        size, tag = await exports.size(job, int(number))
        if _same(exchange, exports.file(job, int(number))):  # what was measured may have turned out to be another
            return await _part(exchange, job, int(number), asked, size, tag)
    file = exports.file(job, int(number))
    lines = exports.lines(job, int(number))
    first = await anext(lines, b"")  # what is refused is refused before the answer has begun
    headers = {"cache-control": "no-store", "vary": "Accept-Encoding"}
    if compresses(exchange.request):
        tag = f'{file.tag[:-1]}-gzip"'
        file.given.add(tag)
        headers |= {"content-encoding": "gzip", "etag": tag}
        return StreamingResponse(_compressed(first, lines), media_type=NDJSON, headers=headers)
    file.given.add(file.tag)
    headers |= {"etag": file.tag, "accept-ranges": "bytes"}
    return StreamingResponse(_all(first, lines), media_type=NDJSON, headers=headers)


def _same(exchange: Exchange, file: File) -> bool:
    """Whether what the client has is of the file as it is; who does not say what they have, when nothing else was ever given."""
    condition = exchange.request.headers.get("if-range")
    return file.given == {file.tag} if condition is None else condition.strip() == file.tag


async def _part(exchange: Exchange, job: Job, number: int, asked: ranges.Asked, size: int, tag: str) -> Response:
    headers = {"cache-control": "no-store", "vary": "Accept-Encoding", "accept-ranges": "bytes", "etag": tag}
    found = asked.within(size)
    if found is None:
        text = "There are no such bytes in this file."
        body = encode(outcome([issue("error", "invalid", text, hint=f"It has {size} bytes.")]))
        return Response(body, 416, headers | {"content-range": f"bytes */{size}"}, "application/fhir+json")
    start, end = found
    lines = exchange.records.exports.lines(job, number, start=start, end=end)
    first = await anext(lines, b"")
    headers |= {"content-range": f"bytes {start}-{end - 1}/{size}", "content-length": str(end - start)}
    return StreamingResponse(_all(first, lines), 206, headers, NDJSON)


async def _all(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in lines:
        yield piece


async def _compressed(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    yield packer.compress(first)
    async for piece in lines:
        yield packer.compress(piece)
    yield packer.flush()
