"""The generator of patients: the same every time, valid R4, and each patient where they belong."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from datetime import date
from typing import Any

from cloister.demo import BEDS_PER_WARD, demo_plan, generate, portions
from cloister.records.validation import check

TODAY = date(2026, 11, 20)


def resources(patients: int, seed: int = 11, hospital: str | None = None) -> list[dict[str, Any]]:
    return [entry["resource"] for bundle in generate(patients, seed, today=TODAY, hospital=hospital) for entry in bundle["entry"]]


def of(kind: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [resource for resource in found if resource["resourceType"] == kind]


def test_the_same_seed_makes_the_same_patients_and_another_seed_makes_others() -> None:
    assert json.dumps(resources(20)) == json.dumps(resources(20))
    assert json.dumps(resources(20)) != json.dumps(resources(20, seed=12))


def test_one_hospitals_share_is_the_same_alone_as_among_all() -> None:
    whole = [portion.bundle for portion in portions(40, 3, today=TODAY) if portion.hospital == "sainte-anne"]
    assert whole == list(generate(40, 3, today=TODAY, hospital="sainte-anne"))


def test_every_resource_is_valid_r4() -> None:
    for resource in resources(120):
        check(resource)


def test_a_patient_has_a_record_of_the_promised_size() -> None:
    sizes = [portion.resources for portion in portions(200, 1, today=TODAY) if portion.name.startswith("patient")]
    assert len(sizes) == 200
    assert 60 <= sum(sizes) / len(sizes) <= 120
    assert min(sizes) >= 40


def test_ids_are_unique_and_every_reference_leads_somewhere() -> None:
    found = resources(60)
    known = {f"{resource['resourceType']}/{resource['id']}" for resource in found}
    assert len(known) == len(found)
    urns = {f"urn:uuid:{resource['id']}" for resource in found}
    for text in re.findall(r'"reference": "([^"]+)"', json.dumps(found)):
        assert text in known or text in urns, text


def test_psychiatric_patients_are_in_the_psychiatric_hospital_only() -> None:
    for hospital, psychiatric in (("saint-roch", False), ("sainte-anne", True)):
        found = resources(80, hospital=hospital)
        stays = {condition["code"]["coding"][0]["code"] for condition in of("Condition", found) if "encounter" in condition}
        assert stays
        assert all(code.startswith("F") == psychiatric for code in stays)
        legal = [note for note in of("DocumentReference", found) if note["type"]["text"] == "Statut légal des soins"]
        assert bool(legal) == psychiatric


def test_patients_in_hospital_lie_in_a_bed_of_their_own_in_a_ward_of_their_hospital() -> None:
    found = resources(200)
    wards = {ward.id: hospital.id for hospital in demo_plan(1).hospitals for ward in hospital.wards}
    beds: Counter[str] = Counter()
    for encounter in of("Encounter", found):
        if encounter["status"] != "in-progress":
            assert "end" in encounter["period"]
            continue
        ward, bed = (one["location"]["reference"].removeprefix("Location/") for one in encounter["location"])
        assert encounter["serviceProvider"]["reference"] == f"Organization/{wards[ward]}"
        assert bed.startswith(ward)
        beds[bed] += 1
    assert max(beds.values()) == 1
    assert {bed.rsplit("-", 1)[0] for bed in beds} == set(wards), "every ward has somebody in it"
    assert len(beds) <= BEDS_PER_WARD * len(wards)


def test_national_numbers_are_of_the_test_range_with_a_right_key_and_some_patients_have_none() -> None:
    patients, numbered = of("Patient", resources(80)), 0
    for patient in patients:
        (status,) = [one["valueCoding"]["code"] for part in patient["extension"] for one in part.get("extension", ())]
        numbers = [one for one in patient["identifier"] if one["use"] == "official"]
        assert bool(numbers) == (status == "VALI")
        for ins in numbers:
            numbered += 1
            assert ins["system"] == "urn:oid:1.2.250.1.213.1.4.10"
            assert int(ins["value"][13:]) == 97 - int(ins["value"][:13]) % 97
    assert 0.7 * len(patients) < numbered < len(patients)


def test_some_laboratory_results_are_abnormal_and_most_are_not() -> None:
    levels = Counter(
        observation["interpretation"][0]["coding"][0]["code"]
        for observation in of("Observation", resources(120))
        if "interpretation" in observation
    )
    abnormal = levels["H"] + levels["L"]
    assert 0.1 < abnormal / (abnormal + levels["N"]) < 0.5


def test_ten_thousand_resources_take_seconds_at_most() -> None:
    began = time.process_time()
    made = len(resources(120))
    assert made / (time.process_time() - began) > 4_000
