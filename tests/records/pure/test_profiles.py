"""Profiles: what a resource claims in meta.profile is checked, element by element, with the rule and what to do. docs/profiles.md."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from profiles_cast import ALL, BIRTH_TOWN, CITIZEN, URL, Json, element, loaded, profile
from terms_cast import ILLS

from cloister.records.elements import Elements, bundle_in_parts
from cloister.records.fhir.text import encode
from cloister.records.profiles import applying
from cloister.records.profiles.values import equals, fits, within
from cloister.records.terminology import shelf
from cloister.records.validation import check, issues_of


@pytest.fixture(scope="module", autouse=True)
def _profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with loaded(tmp_path_factory.mktemp("packs")) as given:
        assert given.rejected == []
        yield


def citizen() -> Json:
    return {
        "resourceType": "Patient",
        "meta": {"profile": [f"{URL}citizen"]},
        "extension": [{"url": f"{URL}birth-town", "valueString": "Angers"}],
        "identifier": [{"system": "urn:card", "value": "1234"}],
        "name": [{"family": "Durand"}],
    }


def ill() -> Json:
    return {
        "resourceType": "Observation",
        "meta": {"profile": [f"{URL}ill"]},
        "status": "final",
        "category": [{"coding": [{"system": "urn:c", "code": "exam"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29308-4", "display": "Diagnosis"}]},
        "valueCodeableConcept": {"coding": [{"system": ILLS, "code": "A21"}]},
    }


def rules(resource: Json, change: Callable[[Json], object]) -> list[tuple[str, str]]:
    body = copy.deepcopy(resource)
    change(body)
    issues = issues_of(body)
    assert all(one.hint and one.text for one in issues)
    return [(one.expression.partition(".")[2], one.rule) for one in issues]


def test_what_meets_its_profile_is_taken() -> None:
    check(citizen())
    check(ill())
    check(ill() | {"valueCodeableConcept": {"coding": [{"system": "urn:x", "code": "1"}, {"system": ILLS, "code": "A2"}]}})


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        (lambda p: p.pop("name"), "name", "profile-min"),
        (lambda p: p.pop("identifier"), "identifier", "profile-min"),
        (lambda p: p["identifier"][0].update(system="urn:badge"), "identifier:card", "profile-min"),
        (lambda p: p["identifier"].append({"system": "urn:card", "value": "2"}), "identifier:card", "profile-max"),
        (lambda p: p["identifier"].append({"system": "urn:other"}), "identifier[1]", "slice-closed"),
        (lambda p: p["identifier"].insert(0, {"system": "urn:badge"}), "identifier[1]", "slice-order"),
        (lambda p: p["identifier"][0].update(value="12345"), "identifier[0].value", "profile-length"),
        (lambda p: p["identifier"][0].pop("value"), "identifier[0].value", "profile-min"),
        (lambda p: p.pop("extension"), "extension:town", "profile-min"),
        (lambda p: p["extension"][0].update(valueString="x" * 21), "extension[0].value", "profile-length"),
        (lambda p: (p["extension"][0].pop("valueString"), p["extension"][0].update(valueCode="x")), "extension[0].value", "profile-type"),
        (lambda p: p.update(deceasedDateTime="2026-01-01"), "deceased", "profile-type"),
        (lambda p: p.update(photo=[{"title": "x"}]), "photo", "profile-max"),
        (lambda p: p.update(generalPractitioner=[{"reference": "Organization/1"}]), "generalPractitioner[0].reference", "profile-target"),
    ],
)
def test_each_rule_of_a_patient_s_profile(change: Callable[[Json], object], place: str, rule: str) -> None:
    found = rules(citizen(), change)
    assert any(at.startswith(place) and name == rule for at, name in found), found


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        (lambda o: o.update(status="amended"), "status", "profile-pattern"),
        (lambda o: o["code"]["coding"][0].update(code="1-8"), "code", "profile-pattern"),
        (lambda o: o.pop("valueCodeableConcept"), "value[x]", "profile-min"),
        (lambda o: (o.pop("valueCodeableConcept"), o.update(valueString="x")), "valueString", "profile-type"),
        (lambda o: o["valueCodeableConcept"]["coding"][0].update(code="A1"), "valueCodeableConcept", "profile-binding"),
        (lambda o: o.update(valueCodeableConcept={"text": "fever"}), "valueCodeableConcept", "profile-binding"),
        (lambda o: o.update(category=[{"coding": [{"code": "vital"}]}]), "category:exam", "profile-min"),
        (lambda o: o.update(component=[{"code": {"text": "a"}}, {"code": {"text": "b"}}]), "component:plain", "profile-max"),
        (
            lambda o: o.update(component=[{"code": {"text": "a"}, "interpretation": [{"text": "H"}]}, {"code": {"text": "b"}}]),
            "component[1]",
            "slice-order",
        ),
    ],
)
def test_each_rule_of_an_observation_s_profile(change: Callable[[Json], object], place: str, rule: str) -> None:
    found = rules(ill(), change)
    assert any(at.startswith(place) and name == rule for at, name in found), found


def test_a_profile_of_a_profile_asks_for_both_and_its_invariants_hold() -> None:
    adult = citizen() | {"meta": {"profile": [f"{URL}adult"]}}
    assert ("", "adult-1") in rules(adult, lambda p: None)
    assert rules(adult, lambda p: p.update(telecom=[{"system": "phone", "value": "1"}])) == []
    found = rules(
        adult, lambda p: (p.update(telecom=[{"system": "phone", "value": "1"}], contact=[{"name": {"text": "x"}}]), p.pop("name"))
    )
    assert ("contact[0].name.family", "profile-min") in found
    assert ("name", "profile-min") in found


def test_warnings_are_told_where_they_are_asked_for_and_stop_no_write() -> None:
    adult = citizen() | {"meta": {"profile": [f"{URL}adult", f"{URL}absent"]}, "telecom": [{"system": "phone", "value": "1"}]}
    adult["name"] = [{"family": "D"}]
    check(adult)
    told = {one.rule: one.severity for one in applying.claimed_faults(adult, warn=True)}
    assert told == {"adult-2": "warning", "adult-3": "warning", "unknown-profile": "warning"}


def test_a_trust_may_refuse_profiles_that_it_does_not_know() -> None:
    claimed = citizen() | {"meta": {"profile": [f"{URL}absent"]}}
    check(claimed)
    try:
        applying.warm(known_only=True)
        assert rules(claimed, lambda p: None) == [("meta.profile[0]", "unknown-profile")]
    finally:
        applying.warm(known_only=False)


def test_a_profile_of_another_type_is_refused() -> None:
    assert ("meta.profile", "profile-type") in rules(citizen() | {"meta": {"profile": [f"{URL}ill"]}}, lambda p: None)


def test_extensions_are_checked_by_their_definitions_wherever_they_stand() -> None:
    deep = citizen()
    deep["name"][0]["extension"] = [{"url": f"{URL}birth-town", "valueInteger": 4}]
    assert any(at.startswith("name[0].extension[0]") for at, _ in rules(deep, lambda p: None))


def test_the_vital_signs_of_r4_are_profiles_like_any_other() -> None:
    heart: dict[str, Any] = {
        "resourceType": "Observation",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/heartrate"]},
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-11-22",
        "valueQuantity": {"value": 60, "unit": "beats/minute", "system": "http://unitsofmeasure.org", "code": "/min"},
    }
    check(heart)
    assert rules(heart, lambda o: o["valueQuantity"].update(code="bpm")) != []
    assert rules(heart, lambda o: o.pop("subject")) != []
    assert rules(heart, lambda o: o.pop("category")) != []


def test_what_a_profile_rests_on_must_be_loaded_and_is_named(tmp_path: Path) -> None:
    orphan = profile("orphan", "Patient", element("Patient.name", min=1), base="https://profiles.example/StructureDefinition/absent")
    wrong = profile("wrong", "Patient", element("Patient.nothing", min=1))
    circle = profile("circle", "Patient", element("Patient.name", min=1), base=f"{URL}circle")
    odd = profile(
        "odd", "Patient", element("Patient", constraint=[{"key": "odd-1", "severity": "error", "human": "x", "expression": "a b"}])
    )
    with loaded(tmp_path, orphan, wrong, circle, odd, BIRTH_TOWN) as given:
        told = {one.where.rpartition("/")[2]: one.text for one in given.rejected}
        assert set(told) == {"orphan", "wrong", "circle", "odd"}
        assert "absent" in told["orphan"]
        assert "odd-1" in told["odd"]
        assert sorted(key[1].removeprefix(URL) for key in given.resources) == ["birth-town", "odd"]


def test_a_snapshot_that_came_along_is_taken_as_it_is(tmp_path: Path) -> None:
    whole = {name: value for name, value in CITIZEN.items() if name != "differential"}
    whole["url"] = f"{URL}whole"
    whole["snapshot"] = {"element": [element("Patient"), element("Patient.name", min=2, max="*", type=[{"code": "HumanName"}])]}
    with loaded(tmp_path, whole) as given:
        assert given.rejected == []
        claimed = {"resourceType": "Patient", "meta": {"profile": [f"{URL}whole"]}, "name": [{"text": "one"}]}
        assert [(one.expression, one.rule) for one in issues_of(claimed)] == [("Patient.name", "profile-min")]


def test_fixed_is_all_and_pattern_is_at_least() -> None:
    assert equals({"a": 1}, {"a": 1.0})
    assert not equals({"a": 1, "b": 2}, {"a": 1})
    assert not equals(True, 1)
    assert fits({"a": [{"b": 1, "c": 2}], "d": 1}, {"a": [{"b": 1}]})
    assert not fits({"a": [{"c": 2}]}, {"a": [{"b": 1}]})
    assert within(5, 1, 10)
    assert not within({"value": 11}, None, {"value": 10})
    assert not within("2026-01-02", "2026-01-03", None)
    assert len(ALL) == 4


def test_an_import_s_short_way_takes_no_resource_past_its_profile() -> None:
    """What came before in the same bytes is not checked again (elements.py); what a resource claims as a whole is."""

    def drafted(resource: Json) -> bool:
        body = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "POST", "url": "Patient"}, "resource": resource}],
        }
        bundle = bundle_in_parts(encode(body))
        assert bundle is not None
        elements = Elements()
        elements.begin({})
        return elements.draft(bundle["entry"][0]["resource"], "1") is not None

    assert drafted(citizen())
    assert not drafted(citizen() | {"name": []})
    assert not drafted({name: value for name, value in citizen().items() if name != "name"})
    numbered = citizen() | {"identifier": [*citizen()["identifier"], {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "1"}]}
    assert not drafted({name: value for name, value in numbered.items() if name != "meta"})


def test_slices_inside_of_slices_tell_a_blood_pressure_s_two_values() -> None:
    def part(code: str, value: float) -> Json:
        quantity = {"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
        return {"code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueQuantity": quantity}

    pressure: Json = {
        "resourceType": "Observation",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/bp"]},
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-11-22",
        "component": [part("8480-6", 120), part("8462-4", 80)],
    }
    assert rules(pressure, lambda o: None) == []
    assert ("component:DiastolicBP", "profile-min") in rules(pressure, lambda o: o["component"].pop())
    assert rules(pressure, lambda o: o["code"]["coding"][0].update(code="55284-4")) == [("code.coding:BPCode", "profile-min")]
    assert [rule for _, rule in rules(pressure, lambda o: o["component"][0]["valueQuantity"].update(code="mmHg"))] == [
        "profile-binding",
        "profile-fixed",
    ]


def test_an_extension_that_stands_elsewhere_than_its_definition_says_is_a_warning() -> None:
    def told(resource: Json) -> list[tuple[str, str]]:
        found = applying.faults_by(shelf.value_sets(), resource, [], warn=True)
        return [(".".join(map(str, one.path)), one.rule) for one in found if one.rule == "extension-context"]

    town = {"url": f"{URL}birth-town", "valueString": "Angers"}
    assert told({"resourceType": "Patient", "extension": [town]}) == []
    assert told({"resourceType": "Patient", "name": [{"extension": [town]}]}) == [("name.0.extension.0", "extension-context")]
    born = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": "1981-03-12T10:00:00Z"}
    assert told({"resourceType": "Patient", "birthDate": "1981-03-12", "_birthDate": {"extension": [born]}}) == []
    assert told({"resourceType": "Patient", "extension": [born]}) == [("extension.0", "extension-context")]
