"""Words beside codes, versions of canonical addresses, hierarchies: what is asked with a modifier."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.base.errors import Invalid, Unsupported
from cloister.records.search import IndexEntry, decided, extract, matches, parse
from cloister.records.search.near import kilometres
from cloister.records.search.phonetic import soundex

WEIGHT: dict[str, Any] = {
    "resourceType": "Observation",
    "code": {"text": "Poids estimé", "coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Body weight"}]},
    "identifier": [{"value": "1", "type": {"text": "Numéro de laboratoire"}}],
    "subject": {"reference": "https://elsewhere.example/fhir/Patient/1"},
    "focus": [{"reference": "https://elsewhere.example/fhir/Group/2"}, {"reference": "Group/3"}],
    "valueQuantity": {"value": 71.5, "unit": "kg"},
    "status": "final",
}


def found(name: str, value: str, resource: dict[str, Any] = WEIGHT) -> bool:
    query = parse(resource["resourceType"], [(name, value)], strict=True)
    return matches(query, IndexEntry(query.type, "1", 1, 0, extract(resource)), undecided=True) and decided(query, resource)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("code:text", "poids", True),
        ("code:text", "BODY", True),
        ("code:text", "weight", False),
        ("code:text", "29463-7", False),
        ("identifier:text", "numero de", True),
        ("status", "http://hl7.org/fhir/observation-status|", True),
        ("subject:Patient", "https://elsewhere.example/fhir/Patient/1", True),
        ("subject:Patient", "Patient/1", False),
        ("focus", "3", True),
        ("focus", "2", False),  # an id alone is one of ours
        ("value-quantity", "71.5||kg", True),
        ("value-quantity", "71.5||", True),
    ],
)
def test_what_is_asked_with_a_modifier(name: str, value: str, expected: bool) -> None:
    assert found(name, value) is expected


@pytest.mark.parametrize(
    ("asked", "version", "expected"),
    [
        ("questionnaire=http://e.org/q", "|1.2", True),
        ("questionnaire=http://e.org/q|1.2", "|1.2", True),
        ("questionnaire=http://e.org/q|1.2", "|1.20", False),
        ("questionnaire=http://e.org/q|1.2", "", False),
        ("questionnaire:below=http://e.org/q|1", "|1.2", True),
        ("questionnaire:below=http://e.org/q|1", "|10", False),
        ("questionnaire=http://e.org/", "|1.2", False),
    ],
)
def test_a_canonical_address_alone_means_any_version(asked: str, version: str, expected: bool) -> None:
    name, _, value = asked.partition("=")
    assert found(name, value, {"resourceType": "QuestionnaireResponse", "questionnaire": f"http://e.org/q{version}"}) is expected


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("robert", "r163"),
        ("rupert", "r163"),
        ("rubin", "r150"),
        ("ashcraft", "a261"),
        ("tymczak", "t522"),
        ("pfister", "p236"),
        ("honeyman", "h555"),
    ],
)
def test_soundex_as_the_national_archives_describe_it(name: str, code: str) -> None:
    assert soundex(name) == code


def test_names_that_sound_alike_and_places_that_are_near() -> None:
    dupond = {"resourceType": "Patient", "name": [{"family": "Dupônd", "given": ["Hélène"]}]}
    assert found("phonetic", "DUPONT", dupond)
    assert found("phonetic", "dubois,dupont", dupond)
    assert not found("phonetic", "Lopez", dupond)
    paris = {"resourceType": "Location", "position": {"latitude": 48.8566, "longitude": 2.3522}}
    assert kilometres(48.8566, 2.3522, 51.5074, -0.1278) == pytest.approx(343.6, abs=0.5)  # to London
    for asked, expected in (
        ("51.5074|-0.1278|344|km", True),
        ("51.5074|-0.1278|343", False),
        ("51.5074|-0.1278|214|[mi_i]", True),
        ("48.5|2.3", True),
    ):
        assert found("near", asked, paris) is expected, asked
    assert found("near", "48.5|2.3", paris)
    assert not found("near", "48.8|2.3", {"resourceType": "Location"})


def test_a_branch_of_a_hierarchy_is_resolved_first_and_matches_nothing_before() -> None:
    resource = {"resourceType": "Encounter", "location": [{"location": {"reference": "Location/room"}}]}
    query = parse("Encounter", [("location:below", "wing")], strict=True)
    entry = IndexEntry("Encounter", "1", 1, 0, extract(resource))
    (tree,) = query.trees
    assert (tree.roots, tree.link.code, tree.above) == (("Location/wing",), "partof", False)
    assert not matches(query, entry)
    assert matches(query, entry, targets={tree: frozenset({"Location/wing", "Location/room"})})
    assert not matches(query, entry, targets={tree: frozenset({"Location/wing"})})


ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
STAY: dict[str, Any] = {"resourceType": "Encounter", "status": "planned", "class": {"system": ACT, "code": "ACUTE"}}
ENDED: dict[str, Any] = {"resourceType": "Condition", "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "remission"}]}}


@pytest.mark.parametrize(
    ("resource", "name", "value", "expected"),
    [
        (STAY, "class:below", f"{ACT}|IMP", True),
        (STAY, "class:below", f"{ACT}|ACUTE", True),
        (STAY, "class:below", f"{ACT}|AMB", False),
        (STAY | {"class": {"system": ACT, "code": "IMP"}}, "class:above", f"{ACT}|ACUTE", True),
        (STAY | {"class": {"system": "urn:other", "code": "IMP"}}, "class:above", f"{ACT}|ACUTE", False),
        (STAY, "status:in", "http://hl7.org/fhir/ValueSet/encounter-status", True),
        (ENDED, "clinical-status:in", "http://hl7.org/fhir/ValueSet/condition-clinical", True),
        (ENDED, "clinical-status:not-in", "http://hl7.org/fhir/ValueSet/condition-clinical", False),
        (ENDED, "clinical-status:in", "http://hl7.org/fhir/ValueSet/condition-ver-status", False),
        (ENDED, "clinical-status:below", f"{CLINICAL}|inactive", True),
        ({"resourceType": "Condition"}, "clinical-status:not-in", "http://hl7.org/fhir/ValueSet/condition-clinical", True),
    ],
)
def test_codes_of_a_value_set_or_a_branch(resource: dict[str, Any], name: str, value: str, expected: bool) -> None:
    query = parse(resource["resourceType"], [(name, value)], strict=True)
    assert matches(query, IndexEntry(query.type, "1", 1, 0, extract(resource))) is expected


@pytest.mark.parametrize("value", ["http://example.org/nothing", "http://hl7.org/fhir/ValueSet/ucum-units"])
def test_a_value_set_that_is_not_loaded_or_cannot_be_listed_is_refused_by_name(value: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse("Observation", [("code:in", value)])
    assert refused.value.expression == "code:in"


@pytest.mark.parametrize(
    ("type", "name", "value", "error"),
    [
        ("Patient", "gender:text", "x", Unsupported),  # a code has no words beside it
        ("Observation", "encounter:below", "Patient/1", Unsupported),
        ("Patient", "general-practitioner:below", "Practitioner/1", Unsupported),
        ("Observation", "value-quantity", "5|kg", Invalid),
        ("Observation", "value-quantity", "5|a|b|c", Invalid),
        ("Provenance", "target.code", "x", Invalid),
        ("Patient", "_revinclude", "*", Unsupported),
    ],
)
def test_what_is_not_offered_is_refused_by_name(type: str, name: str, value: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(type, [(name, value)], strict=True)
