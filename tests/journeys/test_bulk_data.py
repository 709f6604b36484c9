"""Bulk data over the running trust: a program takes out what it can open, and brings in what is good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from journeys_cast import LOINC, end_program, observation, patient, word
from running_trust import RunningTrust

LATER = {"prefer": "respond-async"}
NDJSON = "application/fhir+ndjson"


@pytest.fixture(scope="module")
def lab(trust: RunningTrust) -> Iterator[httpx.Client]:
    client = trust.program(0, label="bulk")
    yield client
    end_program(client)


@pytest.fixture(scope="module")
def two(lab: httpx.Client) -> dict[str, Any]:
    """Two patients of this file's own, each with three observations, and a group of the first."""
    ids = [lab.post("Patient", json=patient(word())).json()["id"] for _ in range(2)]
    for id in ids:
        for value in (61, 62, 63):
            assert lab.post("Observation", json=observation(f"Patient/{id}", value=value)).status_code == 201
        assert lab.post("Observation", json=observation(f"Patient/{id}", code="8480-6", value=120)).status_code == 201
    member = [{"entity": {"reference": f"Patient/{ids[0]}"}}, {"entity": {"reference": f"Patient/{ids[1]}"}, "inactive": True}]
    group = lab.post("Group", json={"resourceType": "Group", "type": "person", "actual": True, "member": member})
    assert group.status_code == 201, group.text
    return {"ids": ids, "group": group.json()["id"]}


def finished(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The manifest, polled for as a client does."""
    assert answer.status_code == 202, answer.text
    place = answer.headers["content-location"]
    deadline = time.monotonic() + 60
    while True:
        status = client.get(place)
        if status.status_code == 200:
            return dict(status.json())
        assert status.status_code == 202, status.text
        assert status.headers["x-progress"]
        assert int(status.headers["retry-after"]) >= 1
        assert time.monotonic() < deadline
        time.sleep(0.1)


def exported(client: httpx.Client, address: str, **headers: str) -> dict[str, list[dict[str, Any]]]:
    """The resources of every file, by type."""
    manifest = finished(client, client.get(address, headers=LATER | headers))
    assert manifest["requiresAccessToken"] is True
    found: dict[str, list[dict[str, Any]]] = {}
    for output in manifest["output"]:
        file = client.get(output["url"])
        assert (file.status_code, file.headers["content-type"].split(";")[0]) == (200, NDJSON)
        lines = [json.loads(line) for line in file.text.splitlines()]
        assert len(lines) == output["count"]
        found.setdefault(output["type"], []).extend(lines)
    return found


def test_a_system_export_holds_what_a_search_finds(lab: httpx.Client, two: dict[str, Any]) -> None:
    found = exported(lab, "$export?_type=Patient,Practitioner")
    assert set(found) == {"Patient", "Practitioner"}
    assert len(found["Patient"]) == lab.get("Patient?_summary=count").json()["total"]
    assert set(two["ids"]) <= {one["id"] for one in found["Patient"]}
    one = next(one for one in found["Patient"] if one["id"] == two["ids"][0])
    assert one == lab.get(f"Patient/{one['id']}").json()


def test_a_group_export_holds_its_active_members_records(lab: httpx.Client, two: dict[str, Any]) -> None:
    found = exported(lab, f"Group/{two['group']}/$export")
    assert [one["id"] for one in found["Patient"]] == [two["ids"][0]]
    assert len(found["Observation"]) == 4
    assert all(one["subject"]["reference"] == f"Patient/{two['ids'][0]}" for one in found["Observation"])


def test_filters_elements_and_since_narrow_it(lab: httpx.Client, two: dict[str, Any]) -> None:
    pulse = f"Observation?code={LOINC}|8867-4,{LOINC}|9999-9"
    asked = httpx.QueryParams([("_type", "Observation"), ("_typeFilter", pulse), ("_elements", "valueQuantity")])
    found = exported(lab, f"Group/{two['group']}/$export?{asked}")
    assert sorted(one["valueQuantity"]["value"] for one in found["Observation"]) == [61, 62, 63]
    assert all("effectiveDateTime" not in one and one["meta"]["tag"][0]["code"] == "SUBSETTED" for one in found["Observation"])
    assert exported(lab, f"Group/{two['group']}/$export?_since=2999-01-01T00:00:00Z") == {}


def test_the_parameters_may_come_in_a_body(lab: httpx.Client, two: dict[str, Any]) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]}
    manifest = finished(lab, lab.post("Patient/$export", json=body, headers=LATER))
    assert {one["type"] for one in manifest["output"]} == {"Patient"}


def test_another_hospitals_program_gets_nothing_of_it(trust: RunningTrust, two: dict[str, Any], lab: httpx.Client) -> None:
    other = trust.program(1, label="bulk")
    try:
        found = exported(other, "$export?_type=Patient,Observation,Group")
        assert not {one["id"] for several in found.values() for one in several} & {*two["ids"], two["group"]}
        assert other.get(f"Group/{two['group']}/$export", headers=LATER).status_code == 404
        manifest = finished(lab, lab.get("$export?_type=Group", headers=LATER))
        for output in manifest["output"]:
            assert other.get(output["url"]).status_code == 404
    finally:
        end_program(other)


def test_a_file_may_be_fetched_again_after_an_interruption(lab: httpx.Client, two: dict[str, Any]) -> None:
    manifest = finished(lab, lab.get("Patient/$export?_type=Observation", headers=LATER))
    place = manifest["output"][0]["url"]
    with lab.stream("GET", place, headers={"accept-encoding": "identity"}) as first:
        begun = next(first.iter_bytes(100))
    again = lab.get(place)
    assert again.content.startswith(begun)
    assert again.content == lab.get(place, headers={"accept-encoding": "identity"}).content


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("$export?_outputFormat=text/csv", 400, "NDJSON"),
        ("$export?_type=Nonsense", 400, "_type"),
        ("$export?_since=yesterday", 400, "_since"),
        ("$export?_typeFilter=Observation%3Fsubject.name%3DX", 501, "_typeFilter"),
        ("Group/unknown/$export", 404, "Group"),
        ("$export-status/unknown", 404, "session"),
        ("$export-file/unknown/0", 404, "session"),
        ("$import-status/unknown", 404, "session"),
    ],
)
def test_what_cannot_be_exported_is_said(lab: httpx.Client, address: str, status: int, said: str) -> None:
    answer = lab.get(address, headers=LATER)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_without_respond_async_the_client_is_told_to_send_it(lab: httpx.Client) -> None:
    answer = lab.get("$export")
    assert answer.status_code == 400
    assert "respond-async" in answer.text


def test_a_cancelled_export_is_gone(lab: httpx.Client) -> None:
    place = lab.get("$export?_type=Patient", headers=LATER).headers["content-location"]
    assert lab.delete(place).status_code == 202
    assert lab.get(place).status_code == 404


def test_an_export_ends_with_its_session_and_the_next_one_is_told(trust: RunningTrust) -> None:
    first = trust.program(0, label="bulk-ends")
    manifest = finished(first, first.get("$export?_type=Patient", headers=LATER))
    end_program(first)
    second = trust.program(0, label="bulk-ends")
    try:
        gone = second.get(manifest["output"][0]["url"])
        assert gone.status_code == 404
        assert "end with the session" in gone.text
    finally:
        end_program(second)


def test_a_narrow_token_exports_what_its_scopes_say(trust: RunningTrust, two: dict[str, Any]) -> None:
    one = trust.sign_ins["programs"][0]
    form = {"grant_type": "client_credentials", "session_label": "bulk", "scope": "system/Patient.rs"}
    with trust.client() as client:
        token = client.post("/oauth2/token", data=form, auth=(one["client_id"], one["client_secret"])).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        client.base_url = httpx.URL(f"{trust.base}/fhir/R4/")
        assert set(exported(client, "$export")) == {"Patient"}
        assert client.get("$export?_type=Observation", headers=LATER).status_code == 403


def test_a_day_that_is_used_up_is_said_before_a_byte_is_sent(trust: RunningTrust, lab: httpx.Client, two: dict[str, Any]) -> None:
    limit = [sys.executable, "-m", "cloister.cli", "program", "limit", "lab-gateway"]
    manifest = finished(lab, lab.get(f"Group/{two['group']}/$export", headers=LATER))
    subprocess.run([*limit, "--bulk-mib", "0"], env=trust.environment, check=True, capture_output=True)
    try:
        answer = lab.get(manifest["output"][0]["url"])
    finally:
        subprocess.run(limit, env=trust.environment, check=True, capture_output=True)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    assert "expression" not in answer.json()["issue"][0]
    assert lab.get(manifest["output"][0]["url"]).status_code == 200


def test_an_import_keeps_what_is_good_and_reports_the_rest_by_line(lab: httpx.Client) -> None:
    who = str(uuid.uuid4())
    good = [{**observation(f"Patient/{who}", value=number), "id": str(uuid.uuid4())} for number in range(300)]
    wrong = {**observation(f"Patient/{who}"), "id": str(uuid.uuid4()), "status": "guessed"}
    stray = {**observation(f"Patient/{uuid.uuid4()}"), "id": str(uuid.uuid4())}
    lines = [*map(json.dumps, (*good[:150], wrong, *good[150:], stray)), "{", json.dumps({"resourceType": "Patient"})]
    body = "\n".join([*lines, json.dumps({**patient(word()), "id": who})])
    headers = LATER | {"content-type": NDJSON}
    manifest = finished(lab, lab.post("$import", content=body, headers=headers))
    assert manifest["extension"] == {"lines": 305, "written": 301, "present": 0, "refused": 4}
    report = [json.loads(line) for line in lab.get(manifest["error"][0]["url"]).text.splitlines()]
    said = {one["issue"][0]["location"][0].split(":")[0]: one["issue"][0] for one in report}
    assert set(said) == {"line 151", "line 302", "line 303", "line 304"}
    assert said["line 151"]["expression"] == ["Observation.status"]
    assert lab.get(f"Observation?patient={who}&_summary=count").json()["total"] == 300
    again = finished(lab, lab.post("$import", content=body, headers=headers))
    assert again["extension"] == {"lines": 305, "written": 0, "present": 301, "refused": 4}


def test_what_is_no_import_is_said(lab: httpx.Client) -> None:
    assert lab.post("$import", content="{}", headers={"content-type": NDJSON}).status_code == 400
    assert lab.post("$import", json={}, headers=LATER).status_code == 415


def test_an_interrupted_file_is_gone_on_with_while_it_is_the_same(lab: httpx.Client, two: dict[str, Any]) -> None:
    group = f"Group/{two['group']}/$export?_type=Observation"
    (output,) = finished(lab, lab.get(group, headers=LATER))["output"]
    place, plain = output["url"], {"accept-encoding": "identity"}
    unasked = lab.get(place, headers=plain | {"range": "bytes=10-"})  # nothing was given yet, so nobody has its first ten bytes
    assert unasked.status_code == 200
    whole = lab.get(place, headers=plain)
    tag = whole.headers["etag"]
    assert (whole.headers["accept-ranges"], tag) == ("bytes", unasked.headers["etag"])
    for condition in ({"if-range": tag}, {}):
        rest = lab.get(place, headers=plain | condition | {"range": "bytes=700-"})
        assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes 700-{len(whole.content) - 1}/{len(whole.content)}")
        assert whole.content[:700] + rest.content == whole.content
    middle = lab.get(place, headers=plain | {"if-range": tag, "range": "bytes=3-9"})
    assert (middle.content, middle.headers["content-length"]) == (whole.content[3:10], "7")
    beyond = lab.get(place, headers=plain | {"if-range": tag, "range": f"bytes={len(whole.content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.content)}")
    for odd in ({"if-range": '"another"', "range": "bytes=5-"}, {"if-range": tag, "range": "bytes=0-1,4-5"}, {"range": "lines=1-"}):
        assert lab.get(place, headers=plain | odd).status_code == 200
    packed = lab.get(place)
    assert packed.headers["etag"] != tag
    assert lab.get(place, headers={"range": "bytes=5-", "if-range": packed.headers["etag"]}).status_code == 200
    # One of its records changes: whoever goes on would put two files together.
    assert lab.post("Observation", json=observation(f"Patient/{two['ids'][0]}", code="9279-1", value=14)).status_code == 201
    again = lab.get(place, headers=plain | {"if-range": tag, "range": "bytes=700-"})
    assert again.status_code == 200
    assert again.headers["etag"] != tag
    assert lab.get(place, headers=plain | {"range": "bytes=700-"}).status_code == 200  # two were given out: which one has the client
