"""Pure work on bundles: from what is read to what is posted, so that a second run finds the same ids.

Spec: http://hl7.org/fhir/R4/http.html#transaction, http://hl7.org/fhir/R4/bundle.html#collection.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import orjson

from cloister.cli.importing.unit import STAGE, STAGE_LAST, Rejected, Unit

BATCH_ENTRIES: Final = 250  # NDJSON lines and collection entries that go together
BUNDLE_ENTRIES_MAX: Final = 5_000  # a larger transaction is cut, its references made literal first
BUNDLE_BYTES_MAX: Final = 32 * 1024 * 1024
MADE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://cloister.example/import")
_NO_BUNDLE: Final = "Give a Bundle of type transaction, batch or collection, a single resource, or NDJSON."

Entry = dict[str, Any]


def _typed(resource: Any) -> str:
    """The resource's type, or the empty text."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) else ""


def named(resource: Any) -> str:
    """'Patient/4711' for a report; never anything else of the resource."""
    identity = resource.get("id") if isinstance(resource, dict) else None
    return f"{_typed(resource) or '?'}/{identity if isinstance(identity, str) else '?'}"[:120]


def rejected(source: str, number: int | None, resource: Any, element: str, rule: str, text: str, hint: str) -> Rejected:
    return Rejected(
        file=source, entry=number, resource=named(resource) if resource else "", element=element, rule=rule, text=text, hint=hint
    )


def put(resource: dict[str, Any]) -> Entry:
    """An entry that writes a resource under its own id."""
    target = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": target}}


def units_of_bundle(source: str, body: bytes, position: int) -> Iterator[Unit | Rejected]:
    """What to post for one JSON text; what cannot be posted comes out as Rejected."""
    entries_sent = as_it_is(body)
    if entries_sent:
        yield Unit(source=source, body=body, numbers=tuple(range(1, entries_sent + 1)), stage=0, alone=True, position=position)
        return
    try:
        bundle = orjson.loads(body)
    except orjson.JSONDecodeError as broken:
        yield rejected(source, None, None, "", "json", f"Not JSON: {broken}.", "Correct the file; nothing of it was taken.")
        return
    kind = _typed(bundle)
    if kind and kind != "Bundle":
        # One resource alone is a batch of one.
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    elif not kind:
        yield rejected(source, None, None, "resourceType", "resource-type", "This is not a FHIR resource.", _NO_BUNDLE)
        return
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        yield rejected(source, None, bundle, "Bundle.entry", "type", "Bundle.entry is not a list.", "Correct the file.")
        return
    if bundle.get("type") == "transaction":
        yield from _transaction(source, body, bundle, entries, position)
    elif bundle.get("type") == "batch":
        yield from _batches(source, list(enumerate(entries, start=1)), position, keep_requests=True)
    elif bundle.get("type") in {"collection", "searchset", "document"}:
        literal = _literal(entries)
        yield from _batches(source, list(enumerate(literal, start=1)), position, keep_requests=False)
    else:
        text = f"A bundle of type '{str(bundle.get('type'))[:40]}' cannot be imported."
        yield rejected(source, None, bundle, "Bundle.type", "bundle-type", text, _NO_BUNDLE)


class _Request(msgspec.Struct):
    method: str
    url: str


class _Sent(msgspec.Struct):
    """An entry, its resource passed over: checked to be JSON, and never built."""

    request: _Request
    resource: msgspec.Raw
    fullUrl: str = ""  # noqa: N815 (the standard's name)


class _Sendable(msgspec.Struct):
    type: str
    entry: list[_Sent]


_sendable: Final = msgspec.json.Decoder(_Sendable)


def as_it_is(body: bytes) -> int:
    """How many entries, if this is a transaction that can be posted unchanged and found again by a second run; else 0."""
    try:
        bundle = _sendable.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0
    steady = bundle.type == "transaction" and all(
        one.request.method == "PUT" or (one.request.method == "POST" and one.fullUrl.startswith("urn:uuid:")) for one in bundle.entry
    )
    return len(bundle.entry) if steady and len(bundle.entry) <= BUNDLE_ENTRIES_MAX and len(body) <= BUNDLE_BYTES_MAX else 0


def _transaction(source: str, body: bytes, bundle: dict[str, Any], entries: list[Any], position: int) -> Iterator[Unit | Rejected]:
    """A transaction goes as it is where a second run would find its ids again."""
    good: list[tuple[int, Entry]] = []
    changed = False
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("request"), dict):
            changed = True
            hint = "Give each entry a resource and a request."
            yield rejected(source, number, _resource(entry), "Bundle.entry.request", "bdl-3", "This entry has no request.", hint)
            continue
        steady = _steady(entry, body, number)
        changed = changed or steady is not entry
        good.append((number, steady))
    if len(good) > BUNDLE_ENTRIES_MAX or len(body) > BUNDLE_BYTES_MAX:
        kept = _literal([entry for _, entry in good])
        yield from _batches(source, list(zip((number for number, _ in good), kept, strict=True)), position, keep_requests=False)
        return
    if good:
        numbers = tuple(number for number, _ in good)
        sent = orjson.dumps({**bundle, "entry": [entry for _, entry in good]}) if changed else body
        yield Unit(source=source, body=sent, numbers=numbers, stage=0, alone=True, position=position)


def _resource(entry: Any) -> Any:
    return entry.get("resource") if isinstance(entry, dict) else None


def _steady(entry: Entry, within: bytes, number: int) -> Entry:
    """The entry, such that posting it twice means one resource: a create without urn:uuid gets an id that follows from its place."""
    request, resource = entry["request"], entry.get("resource")
    if request.get("method") != "POST" or str(entry.get("fullUrl", "")).startswith("urn:uuid:") or not isinstance(resource, dict):
        return entry
    if request.get("ifNoneExist"):
        return entry
    kind, identity = _typed(resource), resource.get("id")
    if kind and isinstance(identity, str) and identity:
        return {**entry, "request": {"method": "PUT", "url": f"{kind}/{identity}"}}
    return {**entry, "fullUrl": f"urn:uuid:{uuid.uuid5(MADE, f'{hashlib.sha256(within).hexdigest()}#{number}')}"}


def _literal(entries: Sequence[Any]) -> list[Any]:
    """Entries whose references to each other are Type/id, so that they can be posted apart."""
    places: dict[str, str] = {}
    for entry in entries:
        resource = _resource(entry)
        full = entry.get("fullUrl") if isinstance(entry, dict) else None
        if not isinstance(full, str) or not full or not _typed(resource):
            continue
        identity = full.removeprefix("urn:uuid:") if full.startswith("urn:uuid:") else resource.get("id")
        if isinstance(identity, str) and identity:
            places[full] = f"{_typed(resource)}/{identity}"
    return [pointed(entry, places) for entry in entries]


def pointed(entry: Any, places: dict[str, str]) -> Any:
    """The entry with every reference that `places` knows made literal, and its resource under the id of its fullUrl."""
    resource = _resource(entry)
    if not isinstance(entry, dict) or not isinstance(resource, dict):
        return entry
    known = places.get(str(entry.get("fullUrl", "")))
    turned = _turned(resource, places)
    return {**entry, "resource": {**turned, "id": known.split("/", 1)[1]} if known else turned}


def _turned(node: Any, places: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            name: places.get(value, value) if name == "reference" and isinstance(value, str) else _turned(value, places)
            for name, value in node.items()
        }
    return [_turned(value, places) for value in node] if isinstance(node, list) else node


def _batches(source: str, entries: Sequence[tuple[int, Any]], position: int, *, keep_requests: bool) -> Iterator[Unit | Rejected]:
    by_stage: dict[int, list[tuple[int, Entry]]] = {}
    for number, entry in entries:
        resource = _resource(entry)
        if keep_requests and isinstance(entry, dict) and isinstance(entry.get("request"), dict):
            steady = _steady(entry, orjson.dumps(entry), number)
            by_stage.setdefault(STAGE.get(_typed(resource), STAGE_LAST), []).append((number, steady))
            continue
        wrong = _unfit(source, number, resource)
        if wrong:
            yield wrong
            continue
        by_stage.setdefault(STAGE.get(_typed(resource), STAGE_LAST), []).append((number, put(resource)))
    for stage in sorted(by_stage):
        yield from batched(source, by_stage[stage], position, stage)


def _unfit(source: str, number: int, resource: Any) -> Rejected | None:
    """Why a resource cannot be written under its own id, if it cannot."""
    if not isinstance(resource, dict):
        return rejected(source, number, None, "", "resource", "There is no resource here.", "Give a JSON object with a resourceType.")
    if not _typed(resource):
        return rejected(source, number, resource, "resourceType", "resource-type", "The resource has no type.", "Add its resourceType.")
    if not isinstance(resource.get("id"), str) or not resource["id"]:
        hint = "Add an id: without one, a second run would make a second copy."
        return rejected(source, number, resource, f"{_typed(resource)}.id", "id", "The resource has no id.", hint)
    return None


def batched(source: str, entries: Sequence[tuple[int, Entry]], position: int, stage: int) -> Iterator[Unit]:
    """Transactions of at most BATCH_ENTRIES: one write for all of them, and those refused can be left out."""
    for first in range(0, len(entries), BATCH_ENTRIES):
        yield batch_unit(source, entries[first : first + BATCH_ENTRIES], position, stage)


def batch_unit(source: str, chunk: Sequence[tuple[int, Entry]], position: int, stage: int) -> Unit:
    body = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry for _, entry in chunk]})
    return Unit(source=source, body=body, numbers=tuple(number for number, _ in chunk), stage=stage, position=position)


def line_entry(source: str, number: int, line: bytes) -> tuple[int, Entry] | Rejected:
    """(stage, entry) of one NDJSON line."""
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError as broken:
        return rejected(source, number, None, "", "json", f"Not JSON: {broken}.", "Correct this line; the others were taken.")
    wrong = _unfit(source, number, resource)
    if wrong:
        return wrong
    return STAGE.get(_typed(resource), STAGE_LAST), put(resource)


def without(unit: Unit, places: set[int]) -> Unit | None:
    """The unit less the entries at these 0-based places; references to them become literal, so that they may follow later."""
    bundle = unit.bundle()
    entries = bundle["entry"]
    kept = [place for place in range(len(entries)) if place not in places]
    if not kept:
        return None
    gone: dict[str, str] = {}
    for place in places:
        full, resource = entries[place].get("fullUrl"), _resource(entries[place])
        if isinstance(full, str) and full.startswith("urn:uuid:") and _typed(resource):
            gone[full] = f"{_typed(resource)}/{full.removeprefix('urn:uuid:')}"
    bundle["entry"] = [pointed(entries[place], gone) if gone else entries[place] for place in kept]
    return Unit(
        source=unit.source,
        body=orjson.dumps(bundle),
        numbers=tuple(unit.numbers[place] for place in kept),
        stage=unit.stage,
        alone=unit.alone,
        position=unit.position,
        digest=unit.digest,  # of what was read: the journal knows the unit by it
    )


def loosened(unit: Unit) -> Unit:
    """The unit as a batch: each entry on its own, under its own id, pointing at others by theirs."""
    bundle = unit.bundle()
    entries = _literal(bundle["entry"])
    for place, entry in enumerate(entries):
        resource = _resource(entry)
        if entry["request"].get("method") == "POST" and _typed(resource) and isinstance(resource.get("id"), str):
            entries[place] = put(resource)
    return Unit(
        source=unit.source,
        body=orjson.dumps({**bundle, "type": "batch", "entry": entries}),
        numbers=unit.numbers,
        stage=unit.stage,
        alone=unit.alone,
        position=unit.position,
        digest=unit.digest,
        loose=True,
    )
