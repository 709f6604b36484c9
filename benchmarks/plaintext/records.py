"""The baseline's records: validated, stored as they are. Keeps what benchmarks ask for and refuses the rest by name."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.clock import iso, system_clock
from cloister.base.errors import NotFound, Unsupported
from cloister.base.wire import Caller
from cloister.records.elements import Elements, Parts
from cloister.records.everything import Asked
from cloister.records.fhir.references import rewrite
from cloister.records.fhir.text import encode
from cloister.records.search.query import Query
from cloister.records.stored import Elsewhere, Hit, Outcome, Page, Stored, Written
from cloister.records.validation import check

DATES: Final = ("effectiveDateTime", "authoredOn", "recordedDate", "onsetDateTime", "date", "start", "issued", "occurrenceDateTime")
HERE: Final = "The plaintext baseline does not offer this."


class PlainRecords:
    """The methods of cloister.records.interactions.port.RecordsPort that the benchmarks use."""

    def __init__(self, gate: Caller, session: str) -> None:
        self._gate = gate
        self._session = session
        self._elements = Elements()

    def _audit(self, action: str, kind: str, object: str) -> list[list[str]]:
        """The texts of `audit.Entry` in their order."""
        return [["plain", self._session, action, kind, object, "success", "", "bench"]]

    async def read(self, type: str, id: str) -> Stored:
        found = await self._gate.call("read", type=type, id=_key(id), audit=self._audit("read", type, id))
        if found is None:
            raise NotFound(f"There is no {type}/{id[:64]} here.")
        version, updated, raw = found
        return Stored(type, id, version, datetime.fromtimestamp(updated, UTC), bytes(raw))

    async def search(self, query: Query) -> Page:
        patients = query.patients()
        if not patients:
            raise Unsupported(HERE)
        code = query.term("code")
        wanted = code.values[0].rpartition("|")[2] if code is not None else None
        rows = await self._gate.call(
            "search",
            type=query.type,
            patient=patients[0],
            code=wanted,
            count=query.count,
            audit=self._audit("search", query.type, patients[0]),
        )
        hits = tuple(Hit(stored=Stored(query.type, id, ver, datetime.fromtimestamp(at, UTC), bytes(raw))) for id, ver, at, raw in rows)
        return Page(hits=hits, total=len(hits))

    async def everything(self, type: str, id: str, asked: Asked) -> Page:
        """The patient's compartment; what it points at elsewhere is not brought along."""
        rows = await self._gate.call("everything", patient=id, count=asked.count, audit=self._audit("search", type, id))
        hits = tuple(Hit(stored=Stored(kind, one, ver, datetime.fromtimestamp(at, UTC), bytes(raw))) for kind, one, ver, at, raw in rows)
        return Page(hits=hits, total=len(hits))

    async def create(self, resource: dict[str, Any], *, zone: str | None = None, if_none_exist: Query | None = None) -> Written:
        check(resource)
        moment = system_clock()
        row = _row({**resource, "id": str(uuid.uuid4())}, moment)
        await self._gate.call("store", columns=[[part] for part in row], audit=self._audit("create", row[0], row[1]))
        return Written(stored=Stored(row[0], row[1], 1, moment, row[5].encode()), created=True)

    async def transaction(self, bundle: dict[str, Any], *, zone: str | None = None, idempotent: bool = False) -> list[Outcome]:
        entries = bundle["entry"]
        places = {
            entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['fullUrl'].removeprefix('urn:uuid:')}"
            for entry in entries
            if str(entry.get("fullUrl", "")).startswith("urn:uuid:")
        }
        moment = system_clock()
        rows = []
        self._elements.begin(places)
        for entry in entries:
            resource = entry["resource"]
            place = places.get(entry.get("fullUrl", ""))
            id = place.split("/", 1)[1] if place else entry["request"]["url"].split("/", 1)[1]
            drafted = self._elements.draft(resource, id) if isinstance(resource, Parts) else None
            if drafted is not None:
                draft, node = drafted
                rows.append((*_columns({**node, "id": id}), draft.raw(1, iso(moment).encode()).decode()))
                continue
            resource = resource.whole() if isinstance(resource, Parts) else resource
            resource["id"] = id
            check(resource)
            rewrite(resource, places)
            rows.append(_row(resource, moment))
        columns = [list(column) for column in zip(*rows, strict=True)]
        new = set(await self._gate.call("store", timeout_seconds=120, columns=columns, audit=self._audit("transaction", "Bundle", "")))
        return [
            Outcome(
                status="201 Created" if f"{row[0]}/{row[1]}" in new else "200 OK",
                stored=Stored(row[0], row[1], 1, moment, row[5].encode()),
            )
            for row in rows
        ]

    async def vread(self, type: str, id: str, version: int) -> Stored:
        raise Unsupported(HERE)

    async def history(self, type: str, id: str) -> list[Stored]:
        raise Unsupported(HERE)

    async def update(self, resource: dict[str, Any], *, if_match: int | None = None, zone: str | None = None) -> Written:
        raise Unsupported(HERE)

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> None:
        raise Unsupported(HERE)

    async def page(self, token: str) -> Page:
        raise Unsupported(HERE)

    async def batch(self, bundle: dict[str, Any], *, zone: str | None = None, elsewhere: Elsewhere | None = None) -> list[Outcome]:
        raise Unsupported(HERE)


def _key(id: str) -> str:
    """Rows are found by a UUID, as small as a key can be; the few ids that are none get one."""
    try:
        return str(uuid.UUID(id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, id))


def _row(resource: dict[str, Any], moment: datetime) -> tuple[str, str, str | None, str | None, str | None, str]:
    """(type, id, patient, code, date, body); the body is what a read gives back."""
    resource["meta"] = {**resource.get("meta", {}), "versionId": "1", "lastUpdated": iso(moment)}
    return (*_columns(resource), encode(resource).decode())


def _columns(resource: dict[str, Any]) -> tuple[str, str, str | None, str | None, str | None]:
    about = resource.get("subject") or resource.get("patient") or {}
    patient = f"Patient/{resource['id']}" if resource["resourceType"] == "Patient" else about.get("reference")
    concept = resource.get("code")
    coding = concept.get("coding") if isinstance(concept, dict) else None
    date = next((resource[name] for name in DATES if name in resource), None)
    return (
        resource["resourceType"],
        _key(resource["id"]),
        patient,
        coding[0].get("code") if coding else None,
        date if date and len(date) >= 10 else None,
    )
