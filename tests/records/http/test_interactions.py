"""What a program sees of the FHIR endpoint: one test a promise of http://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from records_in_memory import RecordsInMemory

LOPEZ: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "lopez",
    "identifier": [{"system": "https://saint-roch.example/ipp", "value": "281036938803175"}],
    "name": [{"family": "Lopez", "given": ["Hélène"]}],
    "gender": "female",
    "birthDate": "1981-03-14",
}
PULSE: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/lopez"},
    "effectiveDateTime": "2026-11-22T08:00:00+01:00",
    "valueQuantity": {"value": 71, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
}


async def put_lopez(client: httpx.AsyncClient) -> httpx.Response:
    answer = await client.put("/Patient/lopez", json=LOPEZ)
    assert answer.status_code == 201, answer.text
    return answer


def issues(answer: httpx.Response) -> list[dict[str, Any]]:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert answer.headers["content-type"].startswith("application/fhir+json")
    found: list[dict[str, Any]] = body["issue"]
    return found


async def test_a_patient_is_written_read_and_told_apart_by_version(client: httpx.AsyncClient) -> None:
    written = await put_lopez(client)
    assert written.headers["location"] == "https://trust.example/fhir/R4/Patient/lopez/_history/1"
    assert written.headers["etag"] == 'W/"1"'
    read = await client.get("/Patient/lopez")
    assert read.status_code == 200
    assert read.json()["meta"]["versionId"] == "1"
    assert read.json()["name"] == LOPEZ["name"]
    again = await client.put("/Patient/lopez", json=LOPEZ | {"gender": "unknown"})
    assert again.status_code == 200
    assert (await client.get("/Patient/lopez/_history/1")).json()["gender"] == "female"
    assert (await client.get("/Patient/lopez/_history/2")).json()["gender"] == "unknown"


async def test_a_created_resource_gets_an_id_of_the_servers_making(client: httpx.AsyncClient) -> None:
    answer = await client.post("/Observation", json=PULSE | {"id": "mine"})
    assert answer.status_code == 201
    assert answer.json()["id"] != "mine"


async def test_a_reference_by_our_own_address_is_kept_by_type_and_id(client: httpx.AsyncClient) -> None:
    answer = await client.post("/Observation", json=PULSE | {"subject": {"reference": "https://trust.example/fhir/R4/Patient/lopez"}})
    assert answer.json()["subject"] == {"reference": "Patient/lopez"}


async def test_what_a_client_has_already_is_not_sent_again(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    answer = await client.get("/Patient/lopez", headers={"If-None-Match": 'W/"1"'})
    assert answer.status_code == 304
    assert answer.content == b""
    modified = answer.headers["last-modified"]
    assert (await client.get("/Patient/lopez", headers={"If-Modified-Since": modified})).status_code == 304
    assert (await client.get("/Patient/lopez", headers={"If-None-Match": 'W/"7"'})).status_code == 200


async def test_two_doctors_cannot_overwrite_each_other(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    first = await client.put("/Patient/lopez", json=LOPEZ, headers={"If-Match": 'W/"1"'})
    assert first.status_code == 200
    second = await client.put("/Patient/lopez", json=LOPEZ, headers={"If-Match": 'W/"1"'})
    assert second.status_code == 412
    assert issues(second)[0]["code"] == "conflict"
    assert (await client.put("/Patient/lopez", json=LOPEZ, headers={"If-Match": "one"})).status_code == 400


async def test_what_is_deleted_is_gone_and_its_versions_stay(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    assert (await client.delete("/Patient/lopez")).status_code == 204
    gone = await client.get("/Patient/lopez")
    assert gone.status_code == 410
    assert issues(gone)[0]["code"] == "deleted"
    assert (await client.get("/Patient/lopez/_history/1")).status_code == 200
    history = (await client.get("/Patient/lopez/_history")).json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "POST"]
    assert "resource" not in history["entry"][0]


async def test_what_may_not_be_known_and_what_never_was_are_answered_alike(client: httpx.AsyncClient) -> None:
    for path in ("Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1"):
        sealed = await client.get("/" + path.format("sealed-1"))
        absent = await client.get("/" + path.format("absent-1"))
        assert sealed.status_code == absent.status_code == 404
        assert sealed.text.replace("sealed-1", "X") == absent.text.replace("absent-1", "X")
        assert sealed.headers.keys() == absent.headers.keys()


async def test_a_history_is_paged_and_never_cut_silently(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        await client.put("/Patient/lopez", json=LOPEZ)
    page = (await client.get("/Patient/lopez/_history?_count=2")).json()
    assert page["total"] == 5
    versions = [entry["resource"]["meta"]["versionId"] for entry in page["entry"]]
    while following := [link["url"] for link in page["link"] if link["relation"] == "next"]:
        page = (await client.get(following[0])).json()
        versions += [entry["resource"]["meta"]["versionId"] for entry in page["entry"]]
    assert versions == ["5", "4", "3", "2", "1"]


async def test_a_search_is_answered_with_links_that_name_nobody(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    for _ in range(5):
        await client.post("/Observation", json=PULSE)
    answer = await client.post("/Observation/_search", data={"patient": "Patient/lopez", "_count": "2", "_include": "Observation:subject"})
    found = answer.json()
    assert answer.status_code == 200
    assert found["type"] == "searchset"
    assert found["total"] == 5
    assert [entry["search"]["mode"] for entry in found["entry"]] == ["match", "match", "include"]
    following = next(link["url"] for link in found["link"] if link["relation"] == "next")
    assert "lopez" not in following
    second = (await client.get(following)).json()
    assert len([entry for entry in second["entry"] if entry["search"]["mode"] == "match"]) == 2
    assert (await client.get("/Observation?_page=other.0")).status_code == 404
    assert (await client.get("/Observation?_page=token.0&patient=lopez")).status_code == 400


async def test_an_unknown_parameter_is_refused_when_strict_and_named_when_lenient(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    strict = await client.get("/Patient?shoe-size=42", headers={"Prefer": "handling=strict"})
    assert strict.status_code == 400
    assert issues(strict)[0]["expression"] == ["shoe-size"]
    lenient = (await client.get("/Patient?shoe-size=42&gender=female")).json()
    assert lenient["total"] == 1
    modes = {entry["search"]["mode"]: entry["resource"] for entry in lenient["entry"]}
    assert "shoe-size" in modes["outcome"]["issue"][0]["details"]["text"]
    assert "shoe-size" not in next(link["url"] for link in lenient["link"] if link["relation"] == "self")


async def test_a_search_for_counts_and_for_some_elements(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    count = (await client.get("/Patient?_summary=count")).json()
    assert count["total"] == 1
    assert "entry" not in count
    cut = (await client.get("/Patient?_elements=birthDate")).json()["entry"][0]["resource"]
    assert cut["birthDate"] == "1981-03-14"
    assert "name" not in cut
    assert cut["meta"]["tag"][0]["code"] == "SUBSETTED"
    summary = (await client.get("/Patient?_summary=true")).json()["entry"][0]["resource"]
    assert "name" in summary


async def test_several_types_are_searched_at_once_by_what_all_of_them_know(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    await put_lopez(client)
    for _ in range(3):
        await client.post("/Observation", json=PULSE)
    found = (await client.get("?_type=Patient,Observation&_count=2&_elements=birthDate,status")).json()
    assert found["total"] == 4
    assert [entry["resource"]["resourceType"] for entry in found["entry"]] == ["Patient", "Observation"]
    assert [set(entry["resource"]) & {"birthDate", "status", "valueQuantity"} for entry in found["entry"]] == [{"birthDate"}, {"status"}]
    own, following = ([link["url"] for link in found["link"] if link["relation"] == name][0] for name in ("self", "next"))
    assert "_type=Patient%2CObservation" in own
    rest = (await client.get(following)).json()
    assert [entry["resource"]["resourceType"] for entry in rest["entry"]] == ["Observation", "Observation"]
    assert "valueQuantity" not in rest["entry"][0]["resource"]
    posted = await client.post("/_search", data={"_type": "Patient", "_id": "lopez"})
    assert posted.json()["total"] == 1
    assert records.seen[-1] == ("search_types", (["Patient"], None, True))
    await client.get("?_id=lopez")
    types, _, named = records.seen[-1][1]
    assert (len(types), named) == (146, False)
    for question, status, expression in (
        ("", 400, "_type"),
        ("?", 400, "_type"),
        ("?_type=Patient,Lamp", 400, "_type"),
        ("?_type=Patient,Observation&_sort=birthdate", 400, "_sort=birthdate"),
        ("?_type=Patient,Person&_sort=birthdate", 501, "_sort"),
        ("?_type=Patient,Observation&birthdate=1981", 400, "birthdate"),
        ("?_page=token.0&_type=Patient", 400, "_page"),
    ):
        refused = await client.get(question)
        assert (refused.status_code, issues(refused)[0]["expression"]) == (status, [expression]), question


async def test_a_patient_s_whole_compartment_is_searched_with_a_star(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    await put_lopez(client)
    answer = await client.get("/Patient/lopez/*?_type=Observation,Condition&code=1")
    assert answer.status_code == 200
    assert records.seen[-1] == ("search_types", (["Observation", "Condition"], "lopez", True))
    assert answer.json()["link"][0]["url"].endswith("/Patient/lopez/*?_type=Observation%2CCondition&code=1")
    await client.post("/Patient/lopez/*/_search", data={"_lastUpdated": "ge2026"})
    types, patient, named = records.seen[-1][1]
    assert (len(types), patient, named) == (73, "lopez", False)
    assert (await client.get("/Patient/lopez/*?_type=Location")).status_code == 501
    assert (await client.get("/Encounter/lopez/*")).status_code == 501


async def test_a_conditional_create_finds_the_patient_who_is_there(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    condition = {"If-None-Exist": "identifier=https://saint-roch.example/ipp|281036938803175"}
    answer = await client.post("/Patient", json=LOPEZ, headers=condition)
    assert answer.status_code == 200
    assert answer.json()["id"] == "lopez"
    await client.put("/Patient/other", json=LOPEZ | {"id": "other"})
    several = await client.post("/Patient", json=LOPEZ, headers=condition)
    assert several.status_code == 412
    assert issues(several)[0]["code"] == "multiple-matches"
    assert (await client.post("/Patient", json=LOPEZ, headers={"If-None-Exist": "shoe-size=42"})).status_code == 400


async def test_a_client_says_what_a_write_gives_back(client: httpx.AsyncClient) -> None:
    minimal = await client.post("/Observation", json=PULSE, headers={"Prefer": "return=minimal"})
    assert minimal.status_code == 201
    assert minimal.content == b""
    outcome = await client.post("/Observation", json=PULSE, headers={"Prefer": "return=OperationOutcome"})
    assert issues(outcome)[0]["severity"] == "information"


async def test_the_digits_of_a_decimal_are_kept(client: httpx.AsyncClient) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":5.40}}'
    answer = await client.post("/Observation", content=body, headers={"Content-Type": "application/fhir+json"})
    assert b'"value":5.40}' in answer.content


async def test_a_transaction_and_a_batch_answer_entry_by_entry(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    entry = {"resource": PULSE, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, entry]}
    answer = (await client.post("", json=bundle, headers={"Cloister-Import": "1"})).json()
    assert answer["type"] == "transaction-response"
    assert [one["response"]["status"] for one in answer["entry"]] == ["201 Created"] * 2
    assert answer["entry"][0]["response"]["location"].startswith("Observation/")
    assert "resource" not in answer["entry"][0]
    assert ("transaction", True) in records.seen
    wrong = {"resource": PULSE | {"status": "no"}, "request": entry["request"]}
    absent = {"request": {"method": "GET", "url": "Patient/absent"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry, wrong, absent]}
    answer = (await client.post("/", json=bundle)).json()
    assert answer["type"] == "batch-response"
    assert [one["response"]["status"] for one in answer["entry"]] == ["201 Created", "422", "404"]
    assert answer["entry"][1]["response"]["outcome"]["issue"][0]["details"]["coding"][0]["code"] == "binding"


async def test_a_transaction_says_which_entry_is_wrong(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    request = {"method": "POST", "url": "Observation"}
    wrong = {"resource": PULSE | {"status": "no", "note": []}, "request": request}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": PULSE, "request": request}, wrong]}
    answer = await client.post("", json=bundle)
    assert answer.status_code == 422
    places = {issue["expression"][0] for issue in issues(answer)}
    assert places == {"Bundle.entry[1].resource.status", "Bundle.entry[1].resource.note"}
    assert not records.versions


async def test_the_home_zone_may_be_named(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    await client.post("/Patient", json=LOPEZ, headers={"Cloister-Zone": "ward-3"})
    assert ("zone", "ward-3") in records.seen


async def test_what_the_server_says_of_itself(client: httpx.AsyncClient) -> None:
    statement = (await client.get("/metadata")).json()
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    observation = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Observation")
    names = {one["name"] for one in observation["searchParam"]}
    assert {"patient", "code", "date", "value-quantity", "_id", "_lastUpdated"} <= names
    assert "code-value-quantity" in names


async def test_denied_is_said_with_its_reason(client: httpx.AsyncClient) -> None:
    answer = await client.post("/Observation", json=PULSE | {"status": "cancelled"})
    assert answer.status_code == 403
    assert issues(answer)[0]["code"] == "forbidden"
    assert issues(answer)[0]["details"]["coding"][0]["code"] == "role"


@pytest.mark.parametrize(
    "accept", ["application/fhir+json", "application/json", "*/*", "application/fhir+json; fhirVersion=4.0", "text/html, */*;q=0.1"]
)
async def test_json_is_served_to_who_takes_it(client: httpx.AsyncClient, accept: str) -> None:
    assert (await client.get("/metadata", headers={"Accept": accept})).status_code == 200


@pytest.mark.parametrize("accept", ["text/turtle", "application/fhir+json; fhirVersion=5.0", "text/html", "application/fhir+json;q=0"])
async def test_what_is_neither_json_nor_xml_is_refused_with_a_sentence(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/metadata", headers={"Accept": accept})
    assert answer.status_code == 406
    assert "JSON or XML" in issues(answer)[0]["details"]["text"]
    assert (await client.get("/metadata?_format=ttl")).status_code == 406
    assert (await client.get("/metadata?_format=json", headers={"Accept": accept})).status_code == 200


async def test_an_update_that_is_to_make_does_not_overwrite(client: httpx.AsyncClient) -> None:
    made = await client.put("/Patient/lopez", json=LOPEZ, headers={"If-None-Match": "*"})
    again = await client.put("/Patient/lopez", json=LOPEZ | {"active": False}, headers={"If-None-Match": "*"})
    assert (made.status_code, again.status_code) == (201, 412)
    for odd in ('W/"1"', "", "**"):
        assert (await client.put("/Patient/lopez", json=LOPEZ, headers={"If-None-Match": odd})).status_code == 400
    both = await client.put("/Patient/lopez", json=LOPEZ, headers={"If-None-Match": "*", "If-Match": 'W/"1"'})
    assert both.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/Patient/$nothing", 501, "operation"),
        ("GET", "/$nothing", 501, "operation"),
        ("POST", "/$nothing", 501, "operation"),
        ("GET", "/Patient/_search", 405, "POST"),
        ("GET", "/_search", 405, "GET"),
        ("PUT", "/Patient/$nothing", 501, "operation"),
    ],
)
async def test_words_of_the_standard_in_the_place_of_an_id_are_not_taken_for_one(
    client: httpx.AsyncClient, method: str, path: str, status: int, said: str
) -> None:
    answer = await client.request(method, path, json=LOPEZ if method == "PUT" else None)
    assert answer.status_code == status
    assert said in answer.json()["issue"][0]["details"]["text"]
