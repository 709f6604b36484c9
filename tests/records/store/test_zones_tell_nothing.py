"""Two people in two zones: whatever one asks, nothing tells that the other's patients exist."""

from __future__ import annotations

import pytest
from people import admitted, found, patient, search, stay, weighed, weight
from store_rig import CARDIOLOGY, SURGERY, TILLEULS, Session

from cloister.base.errors import Denied, Invalid, NotFound
from cloister.records import parse


@pytest.fixture
async def hidden(program: Session) -> dict[str, str]:
    """A patient of the general hospital, in surgery: nothing of it is open to the psychiatrist or to the cardiology nurse."""
    made = await program.records.create(patient("Hidden", "Helena"))
    identifier = made.stored.resource["identifier"][0]["value"] if made.stored.resource else ""
    stayed = await program.records.create(stay(made.stored.id, SURGERY))
    weighed_once = await weighed(program, made.stored.id)
    return {"patient": made.stored.id, "identifier": identifier, "encounter": stayed.stored.id, "observation": weighed_once.stored.id}


@pytest.fixture(params=["delorme", "adele"])
def outsider(request: pytest.FixtureRequest, delorme: Session, adele: Session) -> Session:
    return delorme if request.param == "delorme" else adele


async def test_a_read_by_id_is_the_same_404(outsider: Session, hidden: dict[str, str]) -> None:
    for type, name in (("Patient", "patient"), ("Observation", "observation"), ("Encounter", "encounter")):
        with pytest.raises(NotFound) as there:
            await outsider.records.read(type, hidden[name])
        with pytest.raises(NotFound) as nowhere:
            await outsider.records.read(type, "01a203ad-cebe-7483-8e57-000000000000")
        assert there.value.text.replace(hidden[name], "ID") == nowhere.value.text.replace("01a203ad-cebe-7483-8e57-000000000000", "ID")
        assert there.value.reason == nowhere.value.reason == ""
    with pytest.raises(NotFound):
        await outsider.records.vread("Observation", hidden["observation"], 1)
    with pytest.raises(NotFound):
        await outsider.records.history("Observation", hidden["observation"])
    with pytest.raises(NotFound):
        await outsider.records.open_chart(hidden["patient"])


@pytest.mark.parametrize(
    ("type", "question"),
    [
        ("Patient", "identifier=urn:test:ins|{identifier}"),
        ("Patient", "identifier={identifier}"),
        ("Patient", "family=hidden"),
        ("Patient", "birthdate=1950-02-03&name=hidden"),
        ("Patient", "_id={patient}"),
        ("Observation", "patient={patient}"),
        ("Observation", "patient={patient}&code=http://loinc.org|29463-7"),
        ("Observation", "encounter=Encounter/{encounter}"),
        ("Observation", "patient.family=hidden"),
        ("Observation", "_id={observation}"),
        ("Encounter", "status=in-progress&location=Location/saint-roch-surgery&patient.family=hidden"),  # others stay there too
        ("Encounter", "patient={patient}"),
        ("Patient", "_filter=family eq hidden"),
        ("Patient", "_filter=_id eq {patient} or identifier eq {identifier}"),
        ("Observation", "_filter=subject.family eq hidden or encounter re Encounter/{encounter}"),
        ("Observation", "_filter=patient re Patient/{patient} and not (code eq x)"),
    ],
)
async def test_no_search_counts_or_finds_it(outsider: Session, hidden: dict[str, str], type: str, question: str) -> None:
    page = await search(outsider, type, question.format(**hidden))
    assert (page.total, page.hits, page.next) == (0, (), None)
    counted = await search(outsider, type, question.format(**hidden) + "&_summary=count")
    assert counted.total == 0


async def test_the_program_that_wrote_it_finds_it_by_each_of_these(program: Session, hidden: dict[str, str]) -> None:
    assert await found(program, "Patient", "identifier=urn:test:ins|{identifier}".format(**hidden)) == [hidden["patient"]]
    assert hidden["patient"] in await found(program, "Patient", "birthdate=1950-02-03&name=hidden")
    assert hidden["observation"] in await found(program, "Observation", "patient.family=hidden&_count=500")
    assert await found(program, "Observation", "_id={observation}".format(**hidden)) == [hidden["observation"]]
    assert hidden["encounter"] in await found(program, "Encounter", "status=in-progress&location=Location/saint-roch-surgery&_count=500")


async def test_an_equal_id_in_another_zone_is_no_conflict(
    outsider: Session, program: Session, delorme: Session, hidden: dict[str, str]
) -> None:
    """The psychiatrist may write a patient under the very id: two records that do not know of each other."""
    written = await delorme.records.update({**patient("Mine"), "id": hidden["patient"]})
    assert (written.created, written.stored.version) == (True, 1)
    mine = await delorme.records.read("Patient", hidden["patient"])
    theirs = await program.records.read("Patient", hidden["patient"])
    assert mine.resource is not None
    assert theirs.resource is not None
    assert (mine.resource["name"][0]["family"], theirs.resource["name"][0]["family"]) == ("Mine", "Hidden")


async def test_a_conditional_create_does_not_see_it(delorme: Session, hidden: dict[str, str]) -> None:
    query = parse("Patient", [("identifier", f"urn:test:ins|{hidden['identifier']}")])
    assert (await delorme.records.create(patient("Mine"), if_none_exist=query)).created


async def test_writing_about_a_hidden_patient_is_writing_about_nobody(delorme: Session, hidden: dict[str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        await delorme.records.create(weight(hidden["patient"]))
    assert refused.value.reason == "patient-unknown"
    with pytest.raises(NotFound):
        await delorme.records.delete("Observation", hidden["observation"])
    updated = {**weight(await admitted(delorme)), "id": hidden["observation"]}
    assert (await delorme.records.update(updated)).created  # a new one, of his own


async def test_includes_bring_nothing_from_a_closed_zone(program: Session, delorme: Session, hidden: dict[str, str]) -> None:
    mine = await admitted(delorme)
    note = {**weight(mine), "derivedFrom": [{"reference": f"Observation/{hidden['observation']}"}]}
    written = await delorme.records.create(note)
    page = await search(delorme, "Observation", f"patient={mine}&_include=Observation:derived-from&_include=Observation:patient")
    assert [(hit.stored.id, hit.mode) for hit in page.hits] == [(written.stored.id, "match"), (mine, "include")]
    back = await search(program, "Observation", f"patient={hidden['patient']}&_revinclude=Observation:derived-from")
    assert [hit.mode for hit in back.hits] == ["match"]
    assert set(await delorme.records.many([f"Observation/{hidden['observation']}", f"Patient/{mine}"])) == {f"Patient/{mine}"}


async def test_a_page_token_of_another_session_opens_nothing(program: Session, vasseur: Session) -> None:
    lopez = await admitted(program)
    for _ in range(3):
        await weighed(program, lopez)
    page = await search(program, "Observation", f"patient={lopez}&_count=1")
    assert page.next is not None
    assert len((await program.records.page(page.next)).hits) == 1
    with pytest.raises(NotFound):
        await vasseur.records.page(page.next)


async def test_an_admission_opens_the_record_to_the_ward(program: Session, adele: Session, delorme: Session) -> None:
    lopez = await admitted(program, "Admitted")
    before = (await weighed(program, lopez)).stored
    with pytest.raises(NotFound):
        await adele.records.read("Observation", before.id)
    await program.records.create(stay(lopez, CARDIOLOGY))
    assert (await adele.records.read("Observation", before.id)).raw == before.raw
    assert lopez in await found(adele, "Patient", "family=admitted")
    listed = await search(adele, "Encounter", f"status=in-progress&location=Location/{CARDIOLOGY}&_include=Encounter:patient&_count=500")
    assert lopez in {hit.stored.id for hit in listed.hits if hit.mode == "include"}
    with pytest.raises(NotFound):
        await delorme.records.read("Observation", before.id)


async def test_roles_refuse_what_keys_would_open(adele: Session, program: Session, colin: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    assert (await adele.records.create(weight(lopez))).created
    condition = {"resourceType": "Condition", "subject": {"reference": f"Patient/{lopez}"}, "code": {"text": "Angina"}}
    with pytest.raises(Denied):
        await adele.records.create(condition)
    with pytest.raises(Denied):
        await colin.records.read("Patient", lopez)
    with pytest.raises(Denied):
        await adele.records.create(patient(), zone=TILLEULS)
