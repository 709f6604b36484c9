"""A batch's entries are whatever the endpoint answers: operations, histories, compartments, the statement; each as if sent alone."""

from __future__ import annotations

from typing import Any

from over_http import client_of, post, references
from people import admitted, weighed, weight
from store_rig import SURGERY, Session

ABSENT = "01a203ad-cebe-7483-8e57-000000000000"


def batch(*entries: tuple[str, str, dict[str, Any] | None] | tuple[str, str, dict[str, Any] | None, dict[str, str]]) -> dict[str, Any]:
    made = []
    for method, url, resource, *more in entries:
        entry: dict[str, Any] = {"request": {"method": method, "url": url, **(more[0] if more else {})}}
        made.append(entry | ({"resource": resource} if resource is not None else {}))
    return {"resourceType": "Bundle", "type": "batch", "entry": made}


async def answered(session: Session, *entries: Any) -> list[dict[str, Any]]:
    body = await post(session, "/", batch(*entries))
    assert body["type"] == "batch-response"
    assert len(body["entry"]) == len(entries)
    found: list[dict[str, Any]] = body["entry"]
    return found


async def test_operations_histories_and_compartments_are_answered_in_their_places(program: Session) -> None:
    patient = await admitted(program, "Batched")
    observed = (await weighed(program, patient)).stored.reference
    everything, valid, faulty, history, within, searched, said, codes, cut = await answered(
        program,
        ("GET", f"Patient/{patient}/$everything?_count=50", None),
        ("POST", "Observation/$validate", weight(patient)),
        ("POST", "Observation/$validate", weight(patient) | {"status": "nonsense"}),
        ("GET", f"{observed}/_history", None),
        ("GET", f"Patient/{patient}/Observation", None),
        ("POST", f"Observation/_search?patient={patient}&_format=xml", None),
        ("GET", "metadata", None),
        ("GET", "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", None),
        ("GET", f"/Patient/{patient}?_elements=gender", None),
    )
    assert references(everything["resource"])[0] == f"Patient/{patient}"
    assert observed in references(everything["resource"])
    assert [one["response"]["status"] for one in (everything, valid, faulty, history, within, searched, said, codes, cut)] == ["200"] * 9
    assert valid["resource"]["issue"][0]["severity"] == "information"
    assert faulty["resource"]["issue"][0]["severity"] == "error"
    assert history["resource"]["type"] == "history"
    assert references(within["resource"]) == references(searched["resource"]) == [observed]
    assert said["resource"]["resourceType"] == "CapabilityStatement"
    assert {one["code"] for one in codes["resource"]["expansion"]["contains"]} == {"male", "female", "other", "unknown"}
    assert cut["resource"].keys() <= {"resourceType", "id", "meta", "gender"}
    assert cut["response"]["etag"] == 'W/"1"'


async def test_what_is_refused_is_said_in_its_place_and_the_others_go_on(program: Session) -> None:
    patient = await admitted(program, "Refused")
    unknown, nested, bulk, wrong, method, read = await answered(
        program,
        ("GET", "Observation/$stats", None),
        ("POST", "", batch()),
        ("GET", "$export", None),
        ("GET", "Nonsense/1/2/3", None),
        ("LOCK", f"Patient/{patient}", None),
        ("GET", f"Patient/{patient}", None),
    )
    assert [one["response"]["status"] for one in (unknown, nested, bulk, wrong, read)] == ["501", "400", "400", "404", "200"]
    assert method["response"]["status"] in ("501", "400")
    for one in (unknown, nested, bulk, wrong, method):
        assert one["response"]["outcome"]["resourceType"] == "OperationOutcome"
        assert "resource" not in one
    assert nested["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[1].request.url"]


async def test_an_entrys_own_conditions_count_and_those_of_the_batch_do_not(program: Session) -> None:
    patient = await admitted(program, "Unchanged")
    async with client_of(program) as client:
        entry = ("GET", f"Patient/{patient}?_elements=gender", None, {"ifNoneMatch": 'W/"1"'})
        other = ("GET", f"Patient/{patient}?_elements=gender", None)
        answer = await client.post("/", json=batch(entry, other), headers={"if-none-match": 'W/"1"', "accept-encoding": "gzip"})
    first, second = answer.json()["entry"]
    assert (first["response"]["status"], second["response"]["status"]) == ("304", "200")
    assert "resource" not in first


async def test_a_batch_opens_no_other_doors(program: Session, adele: Session) -> None:
    """Of a record in a zone that is not open an entry tells what it tells of one that never was."""
    hidden = await admitted(program, "Hidden", ward=SURGERY)

    def questions(id: str) -> list[Any]:
        return [
            ("GET", f"Patient/{id}/$everything", None),
            ("GET", f"Patient/{id}/_history", None),
            ("GET", f"Patient/{id}/Observation", None),
        ]

    absent = await answered(adele, *questions(ABSENT))
    closed = await answered(adele, *questions(hidden))
    assert str(closed).replace(hidden, ABSENT) == str(absent)
    assert {one["response"]["status"] for one in absent} == {"404"}
