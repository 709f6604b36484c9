"""The terminology operations over HTTP: by type and by id, GET and POST, over what is loaded and what lies in a register."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from terms_cast import ILL_SYSTEM, ILLS, SETS, filtered, value_set

from cloister.records.validation import issues_of

GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert issues_of(body) == []
    return {one["name"]: next((value for name, value in one.items() if name.startswith("value")), None) for one in body["parameter"]}


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert issues_of(body) == []
    return [one["code"] for one in body["expansion"].get("contains", [])]


def parameters(**parts: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name} | value for name, value in parts.items()]}


async def test_a_loaded_value_set_is_expanded_by_address_by_id_and_as_sent(client: httpx.AsyncClient) -> None:
    wanted = ["male", "female", "other", "unknown"]
    assert codes(await client.get("/ValueSet/$expand", params={"url": GENDERS})) == wanted
    assert codes(await client.get("/ValueSet/administrative-gender/$expand", params={"filter": "fem"})) == ["female"]
    own = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": GENDER, "concept": [{"code": "other"}]}]}}
    body = parameters(valueSet={"resource": own}, count={"valueInteger": 5})
    assert codes(await client.post("/ValueSet/$expand", json=body)) == ["other"]
    assert codes(await client.post("/ValueSet/$expand", json=own)) == ["other"]


async def test_a_closure_table_grows_with_its_client(client: httpx.AsyncClient) -> None:
    name, system = {"name": "name", "valueString": "classes"}, "http://terminology.hl7.org/CodeSystem/v3-ActCode"

    async def said(*parts: dict[str, Any]) -> httpx.Response:
        return await client.post("/$closure", json={"resourceType": "Parameters", "parameter": [name, *parts]})

    def concept(code: str) -> dict[str, Any]:
        return {"name": "concept", "valueCoding": {"system": system, "code": code}}

    unknown = await said(concept("AMB"))
    assert (unknown.status_code, unknown.json()["issue"][0]["details"]["coding"][0]["code"]) == (404, "closure-unknown")
    for answer in (await said(), await said(concept("ACUTE"))):
        assert answer.status_code == 200, answer.text
        assert issues_of(answer.json()) == []
        assert "group" not in answer.json()
    grown = (await said(concept("IMP"))).json()
    assert issues_of(grown) == []
    assert grown["group"][0]["element"] == [{"code": "ACUTE", "target": [{"code": "IMP", "equivalence": "subsumes"}]}]
    assert (await said({"name": "version", "valueString": "1"})).json()["group"] == grown["group"]
    assert (await said(concept("NONE-SUCH"))).status_code == 404
    assert (await client.get("/$closure")).status_code == 405


async def test_a_code_is_looked_up_and_checked(client: httpx.AsyncClient) -> None:
    asked = {"system": GENDER, "code": "male"}
    assert told(await client.get("/CodeSystem/$lookup", params=asked))["display"] == "Male"
    coding = {"valueCoding": asked}
    assert told(await client.post("/CodeSystem/$lookup", json=parameters(coding=coding)))["name"] == "AdministrativeGender"
    assert told(await client.get("/CodeSystem/$validate-code", params={"url": GENDER, "code": "male", "display": "Man"}))["result"] is False
    assert told(await client.get("/ValueSet/$validate-code", params={"url": GENDERS, **asked}))["result"] is True
    concept = {"valueCodeableConcept": {"coding": [{"system": "urn:x", "code": "x"}, asked]}}
    assert told(await client.post("/ValueSet/administrative-gender/$validate-code", json=parameters(codeableConcept=concept)))["result"]
    units = {"url": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    assert told(await client.get("/CodeSystem/$validate-code", params=units))["result"] is True


async def test_what_is_wrong_is_said_with_what_to_do(client: httpx.AsyncClient) -> None:
    for path, params, status, rule in (
        ("/CodeSystem/$lookup", {"system": GENDER, "code": "Male"}, 404, "unknown-code"),
        ("/CodeSystem/$lookup", {"system": "http://snomed.info/sct", "code": "1"}, 404, "not-loaded"),
        ("/CodeSystem/$lookup", {"code": "1"}, 400, ""),
        ("/ValueSet/$expand", {}, 400, ""),
        ("/ValueSet/$expand", {"url": GENDERS, "count": "many"}, 400, ""),
        ("/ValueSet/$expand", {"url": "http://hl7.org/fhir/ValueSet/ucum-units"}, 404, "not-listable"),
        ("/ValueSet/absent/$expand", {}, 404, ""),
        ("/Patient/$expand", {"url": GENDERS}, 404, ""),
        ("/CodeSystem/$subsumes", {"system": GENDER, "codeA": "male"}, 400, ""),
    ):
        answer = await client.get(path, params=params)
        (issue,) = answer.json()["issue"]
        assert answer.status_code == status, answer.text
        assert issue["diagnostics"] or rule == ""
        assert issue["details"].get("coding", [{}])[0].get("code", "") == rule


async def test_what_lies_in_a_register_counts_for_those_who_can_open_it(client: httpx.AsyncClient) -> None:
    for resource in (ILL_SYSTEM, value_set("fevers", filtered("concept", "is-a", "A2"))):
        created = await client.post(f"/{resource['resourceType']}", json=resource)
        assert created.status_code == 201, created.text
    assert codes(await client.get("/ValueSet/$expand", params={"url": f"{SETS}fevers"})) == ["A2", "A21"]
    id = created.json()["id"]
    assert codes(await client.get(f"/ValueSet/{id}/$expand")) == ["A2", "A21"]
    related = {"system": ILLS, "codeA": "A", "codeB": "A2"}
    assert told(await client.get("/CodeSystem/$subsumes", params=related))["outcome"] == "subsumes"


async def test_nobody_s_register_changes_what_is_loaded(client: httpx.AsyncClient) -> None:
    forged = {"resourceType": "CodeSystem", "url": GENDER, "status": "active", "content": "complete", "concept": [{"code": "forged"}]}
    assert (await client.post("/CodeSystem", json=forged)).status_code == 201
    assert told(await client.get("/CodeSystem/$validate-code", params={"url": GENDER, "code": "forged"}))["result"] is False


async def test_a_code_is_translated(client: httpx.AsyncClient) -> None:
    asked = {"system": GENDER, "code": "male", "targetsystem": "http://terminology.hl7.org/CodeSystem/v2-0001"}
    answer = await client.get("/ConceptMap/$translate", params=asked)
    match = next(one for one in answer.json()["parameter"] if one["name"] == "match")
    assert match["part"][1]["valueCoding"]["code"] == "M"


@pytest.mark.parametrize("mode", ["full", "terminology"])
async def test_the_statement_of_what_is_loaded(client: httpx.AsyncClient, mode: str) -> None:
    body = (await client.get("/metadata", params={"mode": mode})).json()
    assert issues_of(body) == []
    if mode == "terminology":
        systems = {one["uri"]: one for one in body["codeSystem"]}
        assert {GENDER, "http://unitsofmeasure.org"} <= systems.keys()
        assert len(systems) > 1000


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["system", "code", "coding", "valueSet", "concept"]), inner, max_size=3
    )


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "x", GENDER, GENDERS, "male", "is-a", "concept", f"{GENDERS}?fhir_vs"]),
    nested,
    max_leaves=5,
)
PARTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["url", "code", "system", "coding", "codeableConcept", "valueSet", "codeSystem", "codingA", "filter", "count"]
        )
    },
    optional={"valueString": ODD, "valueCoding": ODD, "valueCodeableConcept": ODD, "resource": ODD},
)
COMPOSED = st.fixed_dictionaries(
    {"resourceType": st.just("ValueSet"), "status": st.just("active")},
    optional={"compose": st.fixed_dictionaries({"include": st.lists(ODD, max_size=2)}), "expansion": ODD, "url": ODD},
)


@given(st.lists(PARTS | st.builds(lambda body: {"name": "valueSet", "resource": body}, COMPOSED), max_size=4) | ODD)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_sent_is_answered_and_never_by_a_fault_of_ours(client: httpx.AsyncClient, parts: Any) -> None:
    for path in (
        "CodeSystem/$lookup",
        "CodeSystem/$validate-code",
        "ValueSet/$validate-code",
        "ValueSet/$expand",
        "ConceptMap/$translate",
        "$closure",
    ):
        answer = await client.post(f"/{path}", json={"resourceType": "Parameters", "parameter": parts})
        assert answer.status_code in (200, 400, 404, 422, 501), (path, answer.text)
