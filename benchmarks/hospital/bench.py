"""What the steps share: the running trust and what was imported into it."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from benchmarks.trust import BenchTrust
from cloister.cli.importing.reading import Reading
from cloister.cli.importing.unit import Unit
from cloister.demo import portions

ROOT = Path(__file__).resolve().parents[2]
GENERATED_PATIENTS = 345  # about as many resources as the Synthea archive has


@dataclass(slots=True)
class Bench:
    trust: BenchTrust
    observations: list[tuple[str, str, str]] = field(default_factory=list)  # id, patient, code as system|code
    largest: tuple[str, int] = ("", 0)  # patient with the most resources

    def source(self) -> Path:
        """Real records where they are at hand, otherwise made-up ones."""
        for place in (os.environ.get("CLOISTER_BENCH_DATA", ""), str(ROOT.parent / "shared" / "data" / "synthea-r4.tar.xz")):
            if place and Path(place).exists():
                return Path(place)
        folder = self.trust.folder / "made"
        if not folder.exists():
            folder.mkdir()
            for portion in portions(GENERATED_PATIENTS, 1, hospital="saint-roch"):
                (folder / f"{portion.name}.json").write_bytes(orjson.dumps(portion.bundle))
        return folder

    def units(self) -> list[Unit]:
        return [one for one in Reading(self.source()).units() if isinstance(one, Unit)]

    def cared_for(self, people: int, each: int, seed: int) -> list[list[tuple[str, str, str]]]:
        """The observations of each person's own patients: nobody looks after a whole hospital, and several look after one patient."""
        chance = random.Random(seed)
        of_patient: dict[str, list[tuple[str, str, str]]] = {}
        for one in self.observations:
            of_patient.setdefault(one[1], []).append(one)
        patients = sorted(of_patient)
        chosen = (chance.sample(patients, min(each, len(patients))) for _ in range(people))
        return [[one for patient in mine for one in of_patient[patient]] for mine in chosen]

    def learn(self, units: list[Unit]) -> None:
        """Which observations exist, whose they are, and who has the longest record."""
        for unit in units:
            entries = unit.bundle()["entry"]
            patient = next((entry["fullUrl"].removeprefix("urn:uuid:") for entry in entries if _is(entry, "Patient")), None)
            if patient is None:
                continue
            if len(entries) > self.largest[1]:
                self.largest = (patient, len(entries))
            for entry in entries:
                if _is(entry, "Observation"):
                    coding = entry["resource"]["code"]["coding"][0]
                    self.observations.append((entry["fullUrl"].removeprefix("urn:uuid:"), patient, f"{coding['system']}|{coding['code']}"))


def _is(entry: dict[str, object], kind: str) -> bool:
    resource = entry["resource"]
    return isinstance(resource, dict) and resource["resourceType"] == kind
