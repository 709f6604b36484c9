"""The CapabilityStatement says what is there: a valid resource whose claims are answered."""

from __future__ import annotations

import httpx

from cloister.records.validation import issues_of


async def test_it_is_valid_and_names_what_is_offered(client: httpx.AsyncClient) -> None:
    body = (await client.get("/metadata")).json()
    assert issues_of(body) == []
    (rest,) = body["rest"]
    patient = next(one for one in rest["resource"] if one["type"] == "Patient")
    assert {"read", "vread", "update", "patch", "delete", "history-instance", "create", "search-type"} <= {
        one["code"] for one in patient["interaction"]
    }
    assert (patient["conditionalCreate"], patient["conditionalUpdate"], patient["conditionalDelete"]) == (True, True, "single")
    defined = {one["name"]: one.get("definition") for one in patient["searchParam"]}
    assert defined["name"] == "http://hl7.org/fhir/SearchParameter/Patient-name"
    assert defined["birthdate"] == "http://hl7.org/fhir/SearchParameter/individual-birthdate"
    assert defined["_id"] == "http://hl7.org/fhir/SearchParameter/Resource-id"
    assert {name for name, address in defined.items() if address is None} == {"_has", "_list", "_filter"}
    assert {"search-system", "history-system", "transaction", "batch"} == {one["code"] for one in rest["interaction"]}
    assert {one["name"] for one in patient["operation"]} == {"everything", "export", "summary", "validate"}


async def test_every_operation_that_it_names_is_answered_by_name(client: httpx.AsyncClient) -> None:
    """Not with the 501 of an operation that is not offered: what is asked for is absent, or wrong, and that is said."""
    (rest,) = (await client.get("/metadata")).json()["rest"]
    for resource in rest["resource"]:
        for operation in resource["operation"]:
            name = operation["name"]
            path = (
                f"/{resource['type']}/${name}"
                if name in ("validate", "lastn", "lookup")
                else f"/{resource['type']}/absent-1/${name}" + ("?persist=false" if name == "document" else "")
            )
            if name in ("everything", "export", "summary"):
                continue  # asked of a running trust in tests/journeys/test_fhir_as_it_says.py
            answer = await client.request("POST" if name == "validate" else "GET", path)
            assert answer.status_code in (400, 404, 415), (path, answer.text)
