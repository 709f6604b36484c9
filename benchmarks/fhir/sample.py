"""Made-up records, and a fair draw of what was loaded: every resource is as likely to be asked for as any other."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from cloister.demo import portions
from cloister.records.definitions import load

RESOURCES_A_PATIENT: Final = 100  # of a made-up patient, about
LARGE: Final = 20  # patients with LARGE_RESOURCES each, for $everything
LARGE_RESOURCES: Final = 500
KEPT: Final = 50_000  # of each kind of thing to ask for
Entry = dict[str, Any]


def whole_records(folder: Path, resources: int) -> Path:
    """A folder of bundles: the hospital's register, then a patient each."""
    folder.mkdir()
    made, number, like = 0, 0, list[Any]()
    # The generator gives three quarters of its patients to this hospital.
    for number, portion in enumerate(portions(resources, 1, hospital="saint-roch")):
        entries = portion.bundle["entry"]
        (folder / f"{number:06}.json").write_bytes(orjson.dumps(portion.bundle))
        made += len(entries)
        if len(like) < LARGE_RESOURCES:
            like += [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Observation"]
        if made >= resources - LARGE * LARGE_RESOURCES and len(like) >= LARGE_RESOURCES:
            break
    for turn in range(LARGE):
        (folder / f"{number + 1 + turn:06}.json").write_bytes(orjson.dumps(_large(turn, like)))
    return folder


def _large(turn: int, like: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A patient with a long record: observations as other patients have them."""

    def entry(resource: dict[str, Any], id: uuid.UUID) -> Entry:
        request = {"method": "POST", "url": resource["resourceType"]}
        return {"fullUrl": f"urn:uuid:{id}", "resource": resource, "request": request}

    patient = uuid.uuid5(uuid.NAMESPACE_OID, f"bench-large-{turn}")
    person = {"resourceType": "Patient", "name": [{"family": f"Longue-{turn}", "given": ["Histoire"]}], "birthDate": "1950-03-01"}
    entries = [entry(person, patient)]
    for number, one in enumerate(like[: LARGE_RESOURCES - 1]):
        own = {name: value for name, value in one.items() if name not in ("id", "encounter", "performer", "hasMember", "derivedFrom")}
        entries.append(entry({**own, "subject": {"reference": f"urn:uuid:{patient}"}}, uuid.uuid5(patient, str(number))))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class Sample:
    """What there is to ask for, drawn evenly (reservoir sampling) when there is more than can be kept."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._seen: dict[int, int] = {}
        self.resources: list[str] = []  # 'Type/id'
        self.series: list[tuple[str, str]] = []  # patient, code as system|code
        self.patients: list[str] = []
        self.large: list[tuple[str, int]] = []  # patients with about LARGE_RESOURCES in their compartment, and how many

    def learn(self, entries: Sequence[Entry]) -> None:
        """One bundle: a patient's record or a part of it, or a register."""
        patient = next((_id(entry) for entry in entries if _kind(entry) == "Patient"), None)
        for entry in entries:
            if _id(entry):
                self._keep(self.resources, f"{_kind(entry)}/{_id(entry)}")
        if patient is None:
            return
        self._keep(self.patients, patient)
        own = sum(_kind(entry) in load().compartment for entry in entries)  # what the register has of them is only brought along
        if LARGE_RESOURCES * 0.9 <= own <= LARGE_RESOURCES * 1.1:
            self.large.append((patient, own))
        for code in sorted({code for entry in entries if _kind(entry) == "Observation" and (code := _code(entry))}):
            self._keep(self.series, (patient, code))

    def _keep(self, kept: list[Any], one: Any) -> None:
        seen = self._seen[id(kept)] = self._seen.get(id(kept), 0) + 1
        if len(kept) < KEPT:
            kept.append(one)
        elif (place := self._chance.randrange(seen)) < KEPT:
            kept[place] = one


def _kind(entry: Entry) -> str:
    return str(entry["resource"]["resourceType"])


def _id(entry: Entry) -> str:
    """The id that the import keeps."""
    full = str(entry.get("fullUrl", ""))
    return full.removeprefix("urn:uuid:") if full.startswith("urn:uuid:") else ""


def _code(entry: Entry) -> str:
    coding = entry["resource"].get("code", {}).get("coding") or [{}]
    return f"{coding[0]['system']}|{coding[0]['code']}" if "system" in coding[0] and "code" in coding[0] else ""
