"""Bundles, joined from the bytes of their resources: what was opened is not parsed and written again.

Spec: http://hl7.org/fhir/R4/bundle.html, http.html#search, #history, #transaction-response.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from cloister.base.clock import iso
from cloister.base.errors import CloisterError
from cloister.records.fhir.outcomes import issue, outcome, outcome_of, status_of
from cloister.records.fhir.sending import outgoing
from cloister.records.fhir.subset import Subset
from cloister.records.fhir.text import encode
from cloister.records.search.query import Query
from cloister.records.stored import Outcome, Page, Stored

Links = Sequence[tuple[str, str]]


def bundle(type: str, entries: Iterable[bytes], *, total: int | None = None, links: Links = ()) -> bytes:
    """A Bundle around entries that are JSON already."""
    head: dict[str, Any] = {"resourceType": "Bundle", "type": type}
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    inside = b",".join(entries)
    return encode(head)[:-1] + (b',"entry":[' + inside + b"]}" if inside else b"}")


def search_set(page: Page, query: Query, *, base: str, links: Links) -> bytes:
    """The answer to a search. What was left out of the question is said in the answer."""
    cut = Subset(query)
    entries = [_found(hit.stored, hit.mode, base, cut) for hit in page.hits]
    if query.ignored:
        text = f"Not understood and left out: {', '.join(query.ignored)}."
        hint = "Send 'Prefer: handling=strict' to have such a search refused."
        told = issue("warning", "not-supported", text, hint=hint)
        entries.append(b'{"resource":' + encode(outcome([told])) + b',"search":{"mode":"outcome"}}')
    return bundle("searchset", entries, total=page.total, links=links)


def _found(stored: Stored, mode: str, base: str, cut: Subset) -> bytes:
    raw = cut.of(stored)
    return b'{"fullUrl":"%b/%b/%b","resource":%b,"search":{"mode":"%b"}}' % (
        base.encode(),
        stored.type.encode(),
        stored.id.encode(),
        raw,
        mode.encode(),
    )


def search_links(page: Page, query: Query, own: str, more: Links = (), *, base: str) -> list[tuple[str, str]]:
    """`own` is the address of the search below the base, `more` what was asked for beside the query.

    Links to pages are opaque tokens of this session; only what shapes the answer goes with them, nothing that was asked for.
    """
    asked = [*more, *query.applied]
    links = [("self", f"{base}{own}" + (f"?{urlencode(asked)}" if asked else ""))]
    shape = [pair for pair in query.applied if pair[0] in ("_elements", "_summary")]
    pages = f"{base}/{query.type}".rstrip("/")
    for relation, token in (("first", page.first), ("previous", page.previous), ("next", page.next)):
        if token is not None:
            links.append((relation, f"{pages}?{urlencode([('_page', token), *shape])}"))
    return links


def history(versions: Iterable[Stored], *, base: str, total: int, links: Links, shape: Callable[[Stored], bytes]) -> bytes:
    """The versions of one resource, newest first; `shape` gives the bytes of one that is not deleted."""
    entries = [_version(stored, base, b"" if stored.deleted else shape(stored)) for stored in versions]
    return bundle("history", entries, total=total, links=links)


def _version(stored: Stored, base: str, raw: bytes) -> bytes:
    method = "DELETE" if stored.deleted else "POST" if stored.version == 1 else "PUT"
    status = {"DELETE": "204", "POST": "201", "PUT": "200"}[method]
    url = stored.type if method == "POST" else stored.reference
    entry: dict[str, Any] = {
        "fullUrl": f"{base}/{stored.reference}",
        "request": {"method": method, "url": url},
        "response": _response(stored, status),
    }
    return _with_resource(entry, raw)


def answers(outcomes: Iterable[Outcome], *, batch: bool, base: str, bodies: bool) -> bytes:
    """The answer to a transaction or batch: an entry for each that was sent, in its order."""
    return bundle("batch-response" if batch else "transaction-response", [_answer(one, base, bodies) for one in outcomes])


def _answer(one: Outcome, base: str, bodies: bool) -> bytes:
    if isinstance(one.problem, CloisterError):
        return encode({"response": {"status": str(status_of(one.problem)), "outcome": outcome_of(one.problem)}})
    if one.raw or one.told:
        failed = one.status[:1] in ("4", "5")
        response = {"status": one.status, **one.told}
        if failed and one.raw:
            return b'{"response":' + encode(response)[:-1] + b',"outcome":' + one.raw + b"}}"
        return _with_resource({"response": response}, one.raw)
    if one.page is not None:
        inner = bundle("searchset", (_plain_hit(hit.stored, hit.mode, base) for hit in one.page.hits), total=one.page.total)
        return _with_resource({"response": {"status": one.status}}, inner)
    if one.stored is None:
        return encode({"response": {"status": one.status}})
    stored = one.stored
    # Put together by hand, because an import's answer has thousands: ids, types and status codes need no escape in JSON.
    reference, version, moment = stored.reference.encode(), stored.version, _moment(stored.updated)
    return b'{"fullUrl":"%b/%b","response":{"status":"%b","etag":"W/\\"%d\\"","lastModified":"%b","location":"%b/_history/%d"}%b}' % (
        _base(base),
        reference,
        one.status.encode(),
        version,
        moment,
        reference,
        version,
        b',"resource":' + outgoing(stored) if bodies else b"",
    )


@functools.lru_cache(maxsize=8)
def _base(base: str) -> bytes:
    """The inside of its JSON text."""
    return encode(base)[1:-1]


@functools.lru_cache(maxsize=8)
def _moment(moment: datetime) -> bytes:
    """What a transaction wrote has one moment, or a few."""
    return iso(moment).encode()


def _plain_hit(stored: Stored, mode: str, base: str) -> bytes:
    return _with_resource({"fullUrl": f"{base}/{stored.reference}", "search": {"mode": mode}}, outgoing(stored))


def _response(stored: Stored, status: str) -> dict[str, Any]:
    return {"status": status, "etag": f'W/"{stored.version}"', "lastModified": iso(stored.updated)}


def _with_resource(entry: dict[str, Any], raw: bytes) -> bytes:
    return encode(entry)[:-1] + (b',"resource":' + raw + b"}" if raw else b"}")
