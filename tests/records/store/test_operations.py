"""Operations on real sealed records: $everything, $lastn, $document, $validate, compartments; and what two people are told."""

from __future__ import annotations

from typing import Any

import pytest
from over_http import get, pages, post, references
from people import admitted, patient, stay, weighed, weight
from store_rig import CARDIOLOGY, SURGERY, Session

ABSENT = "01a203ad-cebe-7483-8e57-000000000000"


async def created(session: Session, resource: dict[str, Any]) -> str:
    return (await session.records.create(resource)).stored.reference


@pytest.fixture
async def chart(program: Session) -> dict[str, str]:
    """A patient with a stay, a doctor of the register, weights in the stay and before it, and a composition."""
    id = await admitted(program, "Everything")
    doctor = await created(program, {"resourceType": "Practitioner", "name": [{"family": "Vasseur"}]})
    encounter = await created(program, stay(id, CARDIOLOGY))
    inside = weight(id, 70.0, "2026-11-20") | {"encounter": {"reference": encounter}, "performer": [{"reference": doctor}]}
    made = {
        "patient": id,
        "doctor": doctor,
        "encounter": encounter,
        "inside": await created(program, inside),
        "before": await created(program, weight(id, 68.0, "2020-01-05")),
    }
    letter = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Letter"},
        "subject": {"reference": f"Patient/{id}"},
        "date": "2026-11-20",
        "author": [{"reference": doctor}],
        "title": "Letter",
        "section": [{"title": "Weight", "entry": [{"reference": made["inside"]}]}],
    }
    return made | {"letter": await created(program, letter)}


async def test_everything_of_a_patient_is_the_whole_record_and_whom_it_names(program: Session, chart: dict[str, str]) -> None:
    body = await get(program, f"/Patient/{chart['patient']}/$everything")
    found = references(body)
    assert found[0] == f"Patient/{chart['patient']}"
    own = {chart[name] for name in ("encounter", "inside", "before", "letter")} | {found[0]}
    assert own | {chart["doctor"]} <= set(found)
    assert body["total"] == len(own)
    modes = {f"{e['resource']['resourceType']}/{e['resource']['id']}": e["search"]["mode"] for e in body["entry"]}
    assert modes[chart["doctor"]] == "include"
    assert modes[chart["inside"]] == "match"


async def test_everything_is_paged_to_the_last_entry(program: Session, chart: dict[str, str]) -> None:
    whole = references(await get(program, f"/Patient/{chart['patient']}/$everything"))
    several = await pages(program, f"/Patient/{chart['patient']}/$everything?_count=2")
    assert len(several) > 2
    assert references(*several) == whole
    assert {page["total"] for page in several} == {several[0]["total"]}


async def test_everything_is_narrowed_by_type_care_date_and_change(program: Session, chart: dict[str, str]) -> None:
    base = f"/Patient/{chart['patient']}/$everything"
    assert set(references(await get(program, f"{base}?_type=Observation"))) == {chart["inside"], chart["before"]}
    assert set(references(await get(program, f"{base}?_type=Observation&start=2026"))) == {chart["inside"]}
    assert set(references(await get(program, f"{base}?_type=Observation&end=2020-12"))) == {chart["before"]}
    assert references(await get(program, f"{base}?_since=2099-01-01")) == []
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Encounter"}]}
    assert references(await post(program, base, parameters)) == [chart["encounter"]]


async def test_everything_of_a_stay_is_what_belongs_to_it(program: Session, chart: dict[str, str]) -> None:
    found = set(references(await get(program, f"/{chart['encounter']}/$everything")))
    assert {chart["encounter"], chart["inside"], f"Patient/{chart['patient']}", chart["doctor"]} <= found
    assert chart["before"] not in found


async def test_a_record_in_another_zone_is_as_if_it_never_was(program: Session, adele: Session, delorme: Session) -> None:
    id = await admitted(program, "Sealed", ward=SURGERY)
    weighed_once = (await weighed(program, id)).stored.id
    for outsider in (adele, delorme):
        for path in ("/Patient/{}/$everything", "/Patient/{}/Observation", "/Encounter/{}/$everything", "/Composition/{}/$document"):
            there, nowhere = await get(outsider, path.format(id), 404), await get(outsider, path.format(ABSENT), 404)
            assert str(there).replace(id, "X") == str(nowhere).replace(ABSENT, "X")
        assert (await get(outsider, f"/Observation/$lastn?patient={id}"))["total"] == 0
    body = weight(id) | {"id": weighed_once}
    there = await post(delorme, f"/Observation/{weighed_once}/$validate?mode=delete", {"resourceType": "Parameters"})
    nowhere = await post(delorme, f"/Observation/{ABSENT}/$validate?mode=delete", {"resourceType": "Parameters"})
    assert str(there).replace(weighed_once, "X") == str(nowhere).replace(ABSENT, "X")
    update = await post(delorme, f"/Observation/{weighed_once}/$validate?mode=update", body)
    assert update["issue"][0]["details"]["coding"][0]["code"] == "patient-unknown"


async def test_everything_leaves_out_what_another_patient_has_and_what_is_not_open(program: Session, adele: Session) -> None:
    """Adèle opens the ward's patient; the weight points at an observation of a patient of surgery."""
    other = await admitted(program, "Other", ward=SURGERY)
    elsewhere = (await weighed(program, other)).stored.reference
    mine = await admitted(program, "Mine", ward=CARDIOLOGY)
    linked = await created(program, weight(mine) | {"derivedFrom": [{"reference": elsewhere}]})
    for session in (program, adele):
        found = references(await get(session, f"/Patient/{mine}/$everything"))
        assert linked in found
        assert elsewhere not in found
        assert f"Patient/{other}" not in found


async def test_a_page_of_another_session_opens_nothing(program: Session, vasseur: Session, chart: dict[str, str]) -> None:
    first = await get(program, f"/Patient/{chart['patient']}/$everything?_count=1")
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    await get(vasseur, following, 404)
    assert len((await get(program, following))["entry"]) == 1


async def test_what_was_deleted_between_two_pages_is_left_out(program: Session, chart: dict[str, str]) -> None:
    first = await get(program, f"/Patient/{chart['patient']}/$everything?_count=1&_type=Observation")
    shown = references(first)[0]
    gone = chart["before"] if shown == chart["inside"] else chart["inside"]
    await program.records.delete(*gone.split("/"))
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert references(await get(program, following)) == []


async def test_the_last_of_each_kind(program: Session) -> None:
    id = await admitted(program)
    for kilograms, day in ((70.0, "2026-11-01"), (71.0, "2026-11-03"), (72.0, "2026-11-02")):
        await created(program, weight(id, kilograms, day))
    pulse = weight(id, 60, "2026-10-01") | {"code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}}
    await created(program, pulse)
    for text in ("Mood", "Mood", "Sleep"):
        await created(program, weight(id, 1) | {"code": {"text": text}})

    async def values(question: str) -> list[tuple[float, str]]:
        body = await get(program, f"/Observation/$lastn?patient={id}{question}")
        found = [entry["resource"] for entry in body["entry"]]
        return [(one["valueQuantity"]["value"], one["code"].get("text", "")) for one in found]

    one_each = await values("")
    assert len(one_each) == 4
    assert (71.0, "") in one_each
    assert await values("&code=http://loinc.org|29463-7&max=2") == [(71.0, ""), (72.0, "")]
    assert sum(text == "Mood" for _, text in await values("&max=5")) == 2


async def test_a_document_holds_all_that_its_composition_names(program: Session, chart: dict[str, str]) -> None:
    body = await get(program, f"/{chart['letter']}/$document")
    assert (body["type"], body["identifier"]["value"][:9]) == ("document", "urn:uuid:")
    assert body["entry"][0]["fullUrl"] == f"https://trust.example/fhir/R4/{chart['letter']}"
    assert references(body)[0] == chart["letter"]
    assert set(references(body)) == {chart["letter"], chart["doctor"], chart["inside"], f"Patient/{chart['patient']}"}
    checked = await post(program, "/Bundle/$validate", body)
    assert [issue["severity"] for issue in checked["issue"]] == ["information"]


async def test_a_document_that_would_not_be_whole_is_refused_alike(program: Session, chart: dict[str, str]) -> None:
    letter = (await program.records.read(*chart["letter"].split("/"))).resource or {}
    letter["section"][0]["entry"] = [{"reference": f"Observation/{ABSENT}"}]
    await program.records.update(letter)
    refused = await get(program, f"/{chart['letter']}/$document", 422)
    assert refused["issue"][0]["details"]["coding"][0]["code"] == "dangling"
    assert refused["issue"][0]["diagnostics"]


async def test_a_compartment_is_one_patients(program: Session, chart: dict[str, str]) -> None:
    await weighed(program, await admitted(program, "Another"))
    body = await get(program, f"/Patient/{chart['patient']}/Observation")
    assert (set(references(body)), body["total"]) == ({chart["inside"], chart["before"]}, 2)
    narrowed = await get(program, f"/Patient/{chart['patient']}/Observation?date=ge2026")
    assert references(narrowed) == [chart["inside"]]
    assert narrowed["link"][0]["url"].endswith(f"/Patient/{chart['patient']}/Observation?date=ge2026")
    several = await pages(program, f"/Patient/{chart['patient']}/Observation?_count=1")
    assert sorted(references(*several)) == sorted([chart["inside"], chart["before"]])


async def test_a_rehearsal_says_what_the_write_would_say_and_writes_nothing(
    program: Session, colin: Session, chart: dict[str, str]
) -> None:
    good = weight(chart["patient"])
    assert (await post(program, "/Observation/$validate?mode=create", good))["issue"][0]["severity"] == "information"
    lost = await post(program, "/Observation/$validate?mode=create", weight(ABSENT))
    assert lost["issue"][0]["details"]["coding"][0]["code"] == "patient-unknown"
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {**good, "status": "perhaps"}}]}
    wrong = await post(program, "/Observation/$validate", wrapped)
    assert wrong["issue"][0]["expression"] == ["Observation.status"]
    filled = await post(program, f"/Patient/{chart['patient']}/$validate?mode=delete", {"resourceType": "Parameters"})
    assert filled["issue"][0]["details"]["coding"][0]["code"] == "referenced"
    refused = await post(colin, "/Patient/$validate?mode=create", patient())
    assert refused["issue"][0]["code"] == "forbidden"
    stored = await get(program, f"/{chart['inside']}/$validate")
    assert stored["issue"][0]["severity"] == "information"
    assert (await get(program, f"/Patient/{chart['patient']}/Observation"))["total"] == 2


async def test_everything_of_everybody_is_every_record_that_the_session_can_open_and_no_other(
    program: Session, delorme: Session, chart: dict[str, str]
) -> None:
    other = await admitted(program, "Everybody")
    path = "/Patient/$everything?_type=Patient,Observation,Practitioner&_count=1000"
    found = await everyone(program, path)
    assert {f"Patient/{chart['patient']}", f"Patient/{other}", chart["inside"], chart["doctor"]} <= set(found)
    assert chart["encounter"] not in found
    assert len(found) == len(set(found))
    seen = await everyone(delorme, path)
    assert not {f"Patient/{chart['patient']}", f"Patient/{other}", chart["inside"]} & set(seen)
    several = await everyone(program, "/Patient/$everything?_type=Patient&_count=7")
    assert set(several) == {one for one in found if one.startswith("Patient/")}
    assert (await get(delorme, "/Patient/$everything?_since=2126"))["total"] == 0


async def everyone(session: Session, path: str) -> list[str]:
    return [one for page in await pages(session, path) for one in references(page)]
