"""What a resource must be to be stored. Each row breaks one rule that the JSON schema alone would let pass, or keeps it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base.errors import Invalid
from cloister.records.definitions import load
from cloister.records.validation import InvalidResource, check, issues_of

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'
PATIENT: dict[str, Any] = {"resourceType": "Patient", "name": [{"family": "Lopez"}]}
OBSERVATION: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "pulse"}}
ALLERGY_STATUS = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"


def rules(resource: Any) -> list[tuple[str, str]]:
    return [(issue.expression, issue.rule) for issue in issues_of(resource)]


GOOD: list[dict[str, Any]] = [
    PATIENT,
    PATIENT | {"birthDate": "2024-02-29"},
    PATIENT | {"name": [{"family": "Prix\u00a0: élevé", "given": ["Jean\u202fPaul"]}]},  # no-break spaces of French text
    PATIENT | {"name": [{"given": ["A", None], "_given": [None, {"extension": [{"url": "urn:x", "valueString": "y"}]}]}]},
    PATIENT | {"text": {"status": "generated", "div": DIV.format("Hélène&nbsp;<b>Lopez</b> <a href='#x'>x</a>")}},
    PATIENT | {"extension": [{"url": "urn:x", "extension": [{"url": "y", "valueCode": "z"}]}]},
    PATIENT | {"contained": [{"resourceType": "Organization", "id": "o", "name": "O"}], "managingOrganization": {"reference": "#o"}},
    OBSERVATION | {"valueQuantity": {"value": 5.4, "unit": "mmol/l"}},
    OBSERVATION | {"subject": {"reference": "urn:uuid:018f428e-34f6-4707-8009-5ad742f901e7"}},
    OBSERVATION | {"subject": {"reference": "https://elsewhere.example/fhir/Patient/1/_history/2"}},
    OBSERVATION | {"subject": {"reference": "Patient?identifier=urn:x|1"}},
    {"resourceType": "Observation", "_status": {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]}, "code": {"text": "x"}},
    OBSERVATION | {"effectivePeriod": {"start": "2026", "end": "2026-03-01"}},
    {"resourceType": "Binary", "contentType": "text/plain", "data": "YWJj"},
]

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"resourceType": "Unicorn"}, "Resource.resourceType", "resource-type"),
    ({"resourceType": "SubscriptionStatus"}, "Resource.resourceType", "resource-type"),
    ({}, "Resource.resourceType", "resource-type"),
    ({"resourceType": ["Patient"]}, "Resource.resourceType", "resource-type"),
    ({"resourceType": "Observation", "code": {"text": "x"}}, "Observation.status", "required"),
    ({"resourceType": "Observation", "status": "final"}, "Observation.code", "required"),
    (
        {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/1"}},
        "MedicationRequest.medication[x]",
        "required",
    ),
    (OBSERVATION | {"valueString": "a", "valueInteger": 1}, "Observation.valueInteger", "choice"),
    (OBSERVATION | {"valueString": "a", "_valueInteger": {"id": "x"}}, "Observation._valueInteger", "choice"),
    (OBSERVATION | {"subject": {"reference": "Medication/1"}}, "Observation.subject.reference", "target"),
    (OBSERVATION | {"subject": {"reference": "https://x.example/fhir/Medication/1"}}, "Observation.subject.reference", "target"),
    (PATIENT | {"name": []}, "Patient.name", "empty-array"),
    (PATIENT | {"name": [{}]}, "Patient.name[0]", "ele-1"),
    (PATIENT | {"name": [{"given": []}]}, "Patient.name[0].given", "empty-array"),
    (PATIENT | {"name": [{"given": ["A", None]}]}, "Patient.name[0].given[1]", "null"),
    (PATIENT | {"name": [{"family": ""}]}, "Patient.name[0].family", "form"),
    (PATIENT | {"name": [{"family": "a\x00b"}]}, "Patient.name[0].family", "form"),
    (PATIENT | {"name": [{"family": "a\x1fb"}]}, "Patient.name[0].family", "form"),
    (PATIENT | {"birthDate": "2021-02-30"}, "Patient.birthDate", "calendar"),
    (PATIENT | {"birthDate": "2023-02-29"}, "Patient.birthDate", "calendar"),
    (OBSERVATION | {"effectiveDateTime": "2021-04-31T10:00:00Z"}, "Observation.effectiveDateTime", "calendar"),
    (OBSERVATION | {"effectiveDateTime": "2021-04-30T10:00:00"}, "Observation.effectiveDateTime", "form"),
    (OBSERVATION | {"effectivePeriod": {"start": "2026-03-02", "end": "2026-03-01"}}, "Observation.effectivePeriod", "per-1"),
    (OBSERVATION | {"valueString": "a", "dataAbsentReason": {"text": "b"}}, "Observation", "obs-6"),
    (OBSERVATION | {"referenceRange": [{"type": {"text": "normal"}}]}, "Observation.referenceRange[0]", "obs-3"),
    (PATIENT | {"contact": [{"gender": "male"}]}, "Patient.contact[0]", "pat-1"),
    (PATIENT | {"telecom": [{"value": "1"}]}, "Patient.telecom[0]", "cpt-2"),
    (PATIENT | {"extension": [{"url": "urn:x"}]}, "Patient.extension[0]", "ext-1"),
    (PATIENT | {"extension": [{"valueString": "x"}]}, "Patient.extension[0].url", "required"),
    (PATIENT | {"_birthDate": {"extension": [{"url": "urn:x"}]}}, "Patient._birthDate.extension[0]", "ext-1"),
    ({"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}}, "AllergyIntolerance", "ait-1"),
    (
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "clinicalStatus": {"coding": [{"system": ALLERGY_STATUS, "code": "active"}]},
            "verificationStatus": {"coding": [{"system": VERIFICATION, "code": "entered-in-error"}]},
        },
        "AllergyIntolerance",
        "ait-2",
    ),
    (PATIENT | {"contained": [{"resourceType": "Organization", "name": "O"}]}, "Patient.contained[0].id", "dom-3"),
    (PATIENT | {"contained": [{"resourceType": "Organization", "id": "o"}]}, "Patient.contained[0]", "org-1"),
    (PATIENT | {"contained": [{"resourceType": "Organization", "id": "o", "name": "O"}]}, "Patient.contained[0]", "dom-3"),
    (
        PATIENT
        | {"contained": [{"resourceType": "Organization", "id": "o", "name": "O"}]}
        | {"managingOrganization": {"reference": "#o"}, "generalPractitioner": [{"reference": "#p"}]},
        "Patient",
        "ref-1",
    ),
    (PATIENT | {"contained": [{"resourceType": "Unicorn", "id": "o"}]}, "Patient.contained[0].resourceType", "resource-type"),
    (PATIENT | {"contained": [PATIENT | {"id": "p", "contained": [PATIENT | {"id": "q"}]}]}, "Patient.contained[0].contained", "dom-2"),
    ({"resourceType": "Binary", "contentType": "text/plain", "data": "YWJ"}, "Binary.data", "base64"),
    (PATIENT | {"id": "x" * 65}, "Patient.id", "form"),
    (PATIENT | {"name": ["Lopez"]}, "Patient.name[0]", "type"),
    (PATIENT | {"name": [None]}, "Patient.name[0]", "type"),
    (PATIENT | {"meta": None}, "Patient.meta", "type"),
    (OBSERVATION | {"valueInteger": 1.5}, "Observation.valueInteger", "type"),
    (PATIENT | {"multipleBirthInteger": 2**40}, "Patient.multipleBirthInteger", "range"),
    (OBSERVATION | {"valueQuantity": {"value": -(10**400)}}, "Observation.valueQuantity.value", "range"),
]


@pytest.mark.parametrize("resource", GOOD)
def test_what_is_right_passes_and_is_not_touched(resource: dict[str, Any]) -> None:
    before = copy.deepcopy(resource)
    check(resource)
    assert resource == before


@pytest.mark.parametrize(("resource", "expression", "rule"), BAD)
def test_what_is_wrong_is_named_with_its_place_and_rule(resource: dict[str, Any], expression: str, rule: str) -> None:
    assert (expression, rule) in rules(resource)
    with pytest.raises(InvalidResource) as refused:
        check(resource)
    assert all(issue.text.endswith(".") and issue.hint for issue in refused.value.issues)


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<p onclick='x()'>a</p>",
        "<a href='javascript:x()'>a</a>",
        "<a href=' JavaScript:x()'>a</a>",
        "<a href='data:text/html,x'>a</a>",
        "<img src='https://spy.example/a.png'/>",
        "<img src='//spy.example/a.png'/>",
        "<p style='background: url(https://spy.example)'>a</p>",
        "<p style='width: expression(1)'>a</p>",
        "<form><input/></form>",
        "<iframe/>",
        "<style>p{}</style>",
        "<object/>",
        "<svg/>",
        "<p>unclosed",
        "&unknown;",
        "   ",
        "",
    ],
)
def test_a_narrative_that_could_act_or_say_nothing_is_refused(inside: str) -> None:
    resource = PATIENT | {"text": {"status": "generated", "div": DIV.format(inside)}}
    assert rules(resource) == [("Patient.text.div", "txt-1")]


@pytest.mark.parametrize(
    "div",
    [
        "<p>no div</p>",
        "<div>no namespace</div>",
        "text",
        '<!DOCTYPE d [<!ENTITY a "b">]>' + DIV.format("&a;"),
        DIV.format("x") + DIV.format("y"),
        "<?php ?>" + DIV.format("x"),
    ],
)
def test_a_narrative_is_one_plain_div(div: str) -> None:
    assert rules(PATIENT | {"text": {"status": "generated", "div": div}}) == [("Patient.text.div", "txt-1")]


def test_the_place_in_a_bundle_stands_before_every_expression() -> None:
    found = issues_of(PATIENT | {"gender": "x"}, where="Bundle.entry[3].resource")
    assert [issue.expression for issue in found] == ["Bundle.entry[3].resource.gender"]


def test_depth_without_end_is_refused() -> None:
    extension: dict[str, Any] = {"url": "urn:x", "valueCode": "y"}
    for _ in range(3000):
        extension = {"url": "urn:x", "extension": [extension]}
    with pytest.raises(Invalid):
        check(PATIENT | {"extension": [extension]})


def test_no_message_repeats_a_value() -> None:
    with pytest.raises(InvalidResource) as refused:
        check({"resourceType": "Patient", "gender": "Secretname", "birthDate": "Secretname", "active": "Secretname"})
    assert "Secretname" not in repr(refused.value.issues) + str(refused.value)


NAMES = ["coding", "value", "extension", "url", "x"]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    nested,
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(type=st.sampled_from(load().types), data=st.data())
def test_whatever_is_sent_is_accepted_or_refused_by_name(type: str, data: st.DataObject) -> None:
    names = list(load().elements[type]["fields"])
    resource: Any = {"resourceType": type} | data.draw(st.dictionaries(st.sampled_from(names), JSON, max_size=4))
    for issue in issues_of(resource):
        assert issue.expression.startswith(type)
        assert issue.rule
        assert issue.hint
