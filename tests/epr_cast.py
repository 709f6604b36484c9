"""A record in memory for the screens' tests: the same door as Records, FHIR resources in a dictionary, no key.

It searches with the record's own parser and matcher, so that a screen's query means here what it means there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import lzma
import tarfile
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from cloister.access import Actor, read_policy
from cloister.base.errors import CloisterError, NotFound
from cloister.demo import generate
from cloister.epr import Ward
from cloister.epr.kit.fhir import when
from cloister.identity import passkey
from cloister.records import Hit, Outcome, Page, Reader, Stored, Written
from cloister.records.search import IndexEntry, extract, matches, patient_reference, sorted_entries
from cloister.records.search.match import included_by
from cloister.web import Desk, Pages, read_pages, workspace

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
SYNTHEA = Path(__file__).resolve().parents[2] / "shared" / "data" / "synthea-r4.tar.xz"  # beside a checkout, where there is one

CARDIOLOGY = Ward(id="saint-roch-cardiology", name="Cardiologie", hospital="Hôpital Saint-Roch")
SURGERY = Ward(id="saint-roch-surgery", name="Chirurgie viscérale et orthopédique", hospital="Hôpital Saint-Roch")
CLAIRE = Actor(person="p-claire", name="Claire Vasseur", role="doctor", hospital="saint-roch", session="s-1", language="en")
ADELE = Actor(person="p-adele", name="Adèle Morel", role="nurse", hospital="saint-roch", session="s-2", language="fr")
DAMIEN = Actor(person="p-damien", name="Damien Colin", role="it-operator", hospital=None, session="s-3", language="en")
BENEDICTE = Actor(person="p-benedicte", name="Bénédicte Arnaud", role="access-officer", hospital=None, session="s-4", language="en")
PAGES = read_pages()
POLICY = read_policy()


@dataclass
class MemoryChart:
    """What `Records.open_chart` gives."""

    record: MemoryRecord
    patient: Stored

    def _of(self, kind: str) -> list[Stored]:
        return self.record.of_patient(self.patient.id, kind)

    async def summary(self, limits: dict[str, int]) -> dict[str, list[Stored]]:
        self.record.calls += 1
        return {kind: self._of(kind)[:newest] for kind, newest in limits.items()}

    async def all(self, type: str, *, newest: int | None = None) -> list[Stored]:
        return self._of(type)[:newest]

    async def count(self, type: str) -> int:
        return len(self._of(type))

    async def write(self, resource: dict[str, Any]) -> Written:
        return await self.record.create(resource)

    async def renew_keys(self, reason: str, *, whole_zones: bool = False) -> None:
        self.record.renewed.append((reason, whole_zones))

    async def shares(self) -> list[Any]:
        return []

    async def readers(self) -> list[Reader]:
        people = (("p-claire", "Claire Vasseur", "doctor"), ("p-adele", "Adèle Morel", "nurse"))
        return [
            Reader(zone="saint-roch-cardiology", name="Cardiologie", people=people),
            Reader(zone="saint-roch", name="Hôpital Saint-Roch", people=people[:1]),
        ]


@dataclass
class MemoryRecord:
    """Resources by reference; `trouble` is raised by every call while it is set."""

    stored: dict[str, Stored] = field(default_factory=dict)
    entries: dict[str, IndexEntry] = field(default_factory=dict)
    by_patient: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    trouble: CloisterError | None = None
    calls: int = 0
    renewed: list[tuple[str, bool]] = field(default_factory=list)

    def add(self, resource: dict[str, Any]) -> Stored:
        kind, identity = resource["resourceType"], str(resource.setdefault("id", str(uuid.uuid4())))
        one = Stored(kind, identity, 1, NOW, json.dumps(resource).encode())
        values = extract(resource)
        self.stored[one.reference] = one
        self.entries[one.reference] = IndexEntry(kind, identity, 1, int(NOW.timestamp() * 1e6), values)
        owner = patient_reference(resource, values)
        if owner:
            self.by_patient.setdefault((owner.removeprefix("Patient/"), kind), []).append(one)
        return one

    def of_patient(self, patient: str, kind: str) -> list[Stored]:
        """The newest clinical date first, as the chart gives them."""
        return sorted(self.by_patient.get((patient, kind), []), key=lambda one: when(one.resource or {}).order, reverse=True)

    def _check(self) -> None:
        self.calls += 1
        if self.trouble is not None:
            raise self.trouble

    async def read(self, type: str, id: str) -> Stored:
        self._check()
        if f"{type}/{id}" not in self.stored:
            raise NotFound("There is no such resource, or none that you can open.")
        return self.stored[f"{type}/{id}"]

    async def open_chart(self, patient: str) -> MemoryChart:
        return MemoryChart(self, await self.read("Patient", patient))

    async def search(self, query: Any) -> Page:
        self._check()
        found = sorted_entries(query, [entry for entry in self.entries.values() if matches(query, entry)])
        shown = found[: query.count]
        hits = [Hit(stored=self.stored[f"{entry.type}/{entry.id}"]) for entry in shown]
        included = {reference for entry in shown for include in query.includes for reference in included_by(include, entry)}
        hits += [Hit(stored=self.stored[reference], mode="include") for reference in sorted(included) if reference in self.stored]
        return Page(hits=tuple(hits), next="more" if len(found) > len(shown) else None)

    async def create(self, resource: dict[str, Any], **options: Any) -> Written:
        self._check()
        return Written(stored=self.add(dict(resource)), created=True)

    async def transaction(self, bundle: dict[str, Any], **options: Any) -> list[Outcome]:
        self._check()
        return [Outcome(status="201 Created", stored=self.add(entry["resource"])) for entry in bundle["entry"]]

    def newest(self, kind: str) -> dict[str, Any]:
        return next(one.resource for one in reversed(self.stored.values()) if one.type == kind and one.resource is not None)


class MemoryGate:
    """What a session asks of the store gate besides records."""

    def __init__(self) -> None:
        self.unlockers: list[dict[str, Any]] = []
        self.person: dict[str, Any] = {}
        self.trust: dict[str, Any] = {}
        self.added: list[dict[str, Any]] = []

    async def call(self, method: str, /, **arguments: Any) -> Any:
        if method == "trust_material":
            return {"unlockers": self.unlockers, "person": self.person, "trust": self.trust}
        if method == "unlocker_add":
            self.added.append(arguments)
            return None
        assert method == "look_ciphertext"
        rows = [("018f-1", "Observation", "d1c2", 1, "2026-11-22", bytes(range(200)))]
        columns = ["dossier", "rtype", "id", "ver", "day", "ct"]
        return {
            "tables": [{"table": "care.res", "columns": columns, "rows": rows}, {"table": "care.zidx", "columns": [], "rows": []}],
            "sizes": [["care.res", 41000, 9_120_000]],
        }


def local_references(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """A transaction's resources, with urn:uuid references turned into Type/id, as the store does it."""
    known = {}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        resource.setdefault("id", entry.get("fullUrl", "").removeprefix("urn:uuid:"))
        known[entry.get("fullUrl") or ""] = f"{resource['resourceType']}/{resource['id']}"
    return [_resolved(entry["resource"], known) for entry in bundle["entry"]]


def _resolved(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            name: known.get(part, part) if name == "reference" and isinstance(part, str) else _resolved(part, known)
            for name, part in value.items()
        }
    return [_resolved(part, known) for part in value] if isinstance(value, list) else value


def demo_record(patients: int = 40, seed: int = 7) -> MemoryRecord:
    record = MemoryRecord()
    for bundle in generate(patients, seed, today=NOW.date()):
        for resource in local_references(bundle):
            record.add(resource)
    return record


def largest_synthea_patient() -> list[dict[str, Any]]:
    """The resources of the largest bundle in the shared sample."""
    with tarfile.open(fileobj=lzma.open(SYNTHEA)) as archive:
        files = [member for member in archive.getmembers() if member.isfile() and member.name.endswith(".json")]
        best: list[dict[str, Any]] = []
        for member in files:
            taken = archive.extractfile(member)
            assert taken is not None
            bundle = json.load(taken)
            if len(bundle.get("entry", ())) > len(best):
                best = local_references(bundle)
    return best


def desk(record: MemoryRecord, actor: Actor = CLAIRE, wards: Sequence[Ward] = (CARDIOLOGY, SURGERY), gate: Any = None) -> Desk:
    return Desk(
        actor=actor,
        records=record,  # type: ignore[arg-type]
        gate=gate or MemoryGate(),
        policy=POLICY,
        trust="Groupement hospitalier du Val d'Orme",
        hospital="Hôpital Saint-Roch",
        wards=tuple(wards),
        idle_lock_seconds=600,
        party=passkey.RelyingParty(id="localhost", name="Val d'Orme", origins=("https://localhost:8443",)),
        clock=lambda: NOW,
    )


def served(record: MemoryRecord, actor: Actor = CLAIRE, *, pages: Pages = PAGES, **options: Any) -> Starlette:
    place = desk(record, actor, **options)
    return workspace(pages, lambda runtime: place)


class Browser:
    """Asks an application for pages, as a browser of this person."""

    def __init__(self, application: Starlette, *, accept: str = "text/html") -> None:
        transport = httpx.ASGITransport(app=application)
        self._client = httpx.AsyncClient(transport=transport, base_url="https://localhost:8443", headers={"accept": accept})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.get(path, headers=headers)

    async def post(self, path: str, **fields: str) -> httpx.Response:
        return await self._client.post(path, data=fields)

    async def send(self, path: str, body: Any) -> httpx.Response:
        return await self._client.post(path, json=body, headers={"accept": "application/json"})


def patient(identity: str = "4711", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": identity,
        "name": [{"use": "official", "family": "Lopez", "given": ["Maria"], "prefix": ["Mme"]}],
        "gender": "female",
        "birthDate": "1958-03-05",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "258037511600123"}],
        **changes,
    }


def observation(
    patient: str, code: str, value: float, at: str, *, unit: str = "/min", category: str = "vital-signs", **more: Any
) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": code},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": at,
        "valueQuantity": {"value": value, "unit": unit, "code": unit, "system": "http://unitsofmeasure.org"},
        **more,
    }


def text_of(resource: dict[str, Any]) -> str:
    """The text of a note."""
    return base64.b64decode(resource["content"][0]["attachment"]["data"]).decode()


def all_of(record: MemoryRecord, kind: str) -> Iterable[dict[str, Any]]:
    return [one.resource for one in record.stored.values() if one.type == kind and one.resource is not None]


if __name__ == "__main__":  # a look at the screens without a trust: python tests/epr_cast.py doctor 8099
    import sys

    import uvicorn
    from starlette.responses import HTMLResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    from cloister.web import STATIC_FOLDER

    who = {"doctor": CLAIRE, "nurse": ADELE, "operator": DAMIEN, "officer": BENEDICTE}[sys.argv[1]]
    shown = demo_record()
    for one in largest_synthea_patient():
        shown.add(one)
    gate = MemoryGate()
    gate.unlockers = [{"id": "u", "kind": "passphrase", "label": "", "created": "2026-11-01T08:00:00Z", "last_used": None, "params": {}}]
    gate.person = {"sign_in": "claire.vasseur"}
    routes = [
        Mount("/static", StaticFiles(directory=STATIC_FOLDER)),
        Route("/login", lambda request: HTMLResponse(PAGES.render("login.html", language=request.query_params.get("lang", "en")))),
        Mount("/", served(shown, who, gate=gate)),
    ]
    asyncio.run(uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=int(sys.argv[2]), log_level="warning")).serve())
