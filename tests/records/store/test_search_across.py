"""Chains and reverse chains: the same answers in a general and in a psychiatric zone, and nothing of what lies elsewhere."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from people import LOINC, admitted, found, patient, search, stay, weight
from store_rig import CARDIOLOGY, TILLEULS, Rig, Session

from cloister.base.errors import Invalid
from cloister.records import deciding, including, searching


@dataclass(frozen=True)
class Ward:
    """Two patients with the same family name; one has a stay, a heavy weight measured in it, and a report on that."""

    session: Session
    name: str
    heavy: str
    light: str
    encounter: str
    observation: str
    report: str
    other: str  # the light patient's observation


async def furnished(session: Session, ward: str) -> Ward:
    name = f"chain{secrets.token_hex(4)}"
    create = session.records.create
    heavy = (await create(patient(name, "Heavy"))).stored.id
    light = (await create(patient(name, "Light"))).stored.id
    encounter = (await create(stay(heavy, ward))).stored.id
    measured: dict[str, Any] = {**weight(heavy, 140), "encounter": {"reference": f"Encounter/{encounter}"}}
    observation = (await create(measured)).stored.id
    other = (await create(weight(light, 50))).stored.id
    report = (
        await create(
            {
                "resourceType": "DiagnosticReport",
                "status": "final",
                "code": {"coding": [{"system": LOINC, "code": "8716-3"}]},
                "subject": {"reference": f"Patient/{heavy}"},
                "result": [{"reference": f"Observation/{observation}"}],
            }
        )
    ).stored.id
    return Ward(session, name, heavy, light, encounter, observation, report, other)


def cuff(patient_id: str, systolic: int, diastolic: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "85354-9"}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "component": [
            {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": {"value": value, "unit": "mmHg"}}
            for code, value in (("8480-6", systolic), ("8462-4", diastolic))
        ],
    }


@pytest.fixture(params=["general", "psychiatric"])
async def ward(request: pytest.FixtureRequest, program: Session, delorme: Session) -> Ward:
    return await (furnished(program, CARDIOLOGY) if request.param == "general" else furnished(delorme, TILLEULS))


@pytest.fixture
async def elsewhere(ward: Ward, program: Session, delorme: Session) -> Session:
    """Whoever opens none of it."""
    return delorme if ward.session is program else program


CASES = [
    ("Patient", "family={name}&_has:Observation:patient:code=http://loinc.org|29463-7", {"heavy", "light"}),
    ("Patient", "family={name}&_has:Observation:patient:value-quantity=gt100", {"heavy"}),
    ("Patient", "_id={heavy},{light}&_has:Observation:patient:value-quantity=lt100", {"light"}),
    ("Patient", "family={name}&_has:Encounter:patient:_has:Observation:encounter:code=29463-7", {"heavy"}),
    ("Patient", "family={name}&_has:Observation:patient:encounter.status=in-progress", {"heavy"}),
    ("Patient", "family={name}&_has:Observation:patient:code=nothing", set()),
    ("Patient", "_has:Observation:patient:_id={other}", {"light"}),
    ("Encounter", "patient.family={name}&_has:Observation:encounter:value-quantity=gt100", {"encounter"}),
    ("Observation", "_has:DiagnosticReport:result:code=8716-3&patient.family={name}", {"observation"}),
    ("Observation", "patient.family={name}", {"observation", "other"}),
    ("Observation", "encounter.patient.family={name}", {"observation"}),
    ("Observation", "encounter:Encounter.subject:Patient.family={name}&code=29463-7", {"observation"}),
    ("DiagnosticReport", "result.encounter.patient.family={name}", {"report"}),
    ("DiagnosticReport", "result.encounter.patient.family={name}&result.code=nothing", set()),
    ("Observation", "patient._has:Encounter:patient:_id={encounter}&patient.family={name}", {"observation"}),
    ("Patient", "_filter=family eq {name} and given eq heavy", {"heavy"}),
    ("Patient", "_filter=family eq {name} and not (given eq heavy)", {"light"}),
    ("Observation", '_filter=subject:Patient.family eq "{name}"', {"observation", "other"}),
    ("Observation", "_filter=subject:Patient.family eq {name} and (value-quantity gt 100 or code eq x)", {"observation"}),
    ("Observation", "_filter=patient[family eq {name}].given eq light", {"other"}),
    ("Observation", "patient={heavy},{light}&_filter=encounter.patient.family eq {name} or value-quantity lt 60", {"observation", "other"}),
    ("Observation", "patient={heavy},{light}&_filter=not (encounter.status pr true)", {"other"}),
    ("Observation", "_filter=patient re Patient/{heavy} and date ge 2026", {"observation"}),
]


@pytest.mark.parametrize(("type", "question", "answer"), CASES)
async def test_what_lies_at_the_other_end_decides(ward: Ward, elsewhere: Session, type: str, question: str, answer: set[str]) -> None:
    names = {field: getattr(ward, field) for field in ("name", "heavy", "light", "encounter", "observation", "report", "other")}
    text = question.format(**names)
    page = await search(ward.session, type, text)
    assert {hit.stored.id for hit in page.hits} == {names[one] for one in answer}
    assert page.total == len(answer)
    assert (await search(ward.session, type, text + "&_summary=count")).total == len(answer)
    hidden = await search(elsewhere, type, text)
    assert (hidden.total, hidden.hits, hidden.next) == (0, (), None)
    assert (await search(elsewhere, type, text + "&_summary=count")).total == 0


CUFFS = [
    ("component-code-value-quantity=8480-6$gt140", {"high"}),
    ("component-code-value-quantity=8462-4$gt140", {"odd"}),
    ("combo-code-value-quantity=http://loinc.org|8480-6$lt100", {"odd"}),
    ("code-value-quantity=29463-7$140|http://unitsofmeasure.org|kg", {"weight"}),
    ("combo-code-value-quantity=29463-7$140,8480-6$150", {"weight", "high"}),
    ("component-code-value-quantity=8480-6$gt140&_count=1&_sort=_id", {"high"}),
]


@pytest.mark.parametrize(("question", "answer"), CUFFS)
async def test_code_and_value_must_stand_together(ward: Ward, elsewhere: Session, question: str, answer: set[str]) -> None:
    made = {"weight": ward.observation}
    for name, systolic, diastolic in (("high", 150, 80), ("odd", 90, 145)):
        made[name] = (await ward.session.records.create(cuff(ward.heavy, systolic, diastolic))).stored.id
    page = await search(ward.session, "Observation", f"patient={ward.heavy}&{question}")
    assert ({hit.stored.id for hit in page.hits}, page.total) == ({made[one] for one in answer}, len(answer))
    assert set(await found(ward.session, "Observation", f"patient.family={ward.name}&{question}")) == {made[one] for one in answer}
    assert await found(ward.session, "Patient", f"family={ward.name}&_has:Observation:patient:{question.partition('&')[0]}") == [ward.heavy]
    assert (await search(ward.session, "Observation", f"patient={ward.heavy}&{question}&_summary=count")).total == len(answer)
    for asked in (f"patient={ward.heavy}&{question}", f"patient.family={ward.name}&{question}"):
        hidden = await search(elsewhere, "Observation", asked)
        assert (hidden.total, hidden.hits, hidden.next) == (0, (), None)


TEXTS = [
    ("Observation", "_text=swoll&patient={heavy}", {"note"}),
    ("Observation", "_content=KNEE swollen&patient={heavy}", {"note"}),
    ("Observation", "_content=left&patient.family={name}", {"note"}),
    ("Observation", "_text=left&patient.family={name}", set()),
    ("Patient", "_content={name}&_has:Observation:patient:_text=swollen", {"heavy"}),
    ("Patient", "family={name}&_content=light", {"light"}),
]


@pytest.mark.parametrize(("type", "question", "answer"), TEXTS)
async def test_words_are_found_in_what_is_opened(ward: Ward, elsewhere: Session, type: str, question: str, answer: set[str]) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">The knee is <b>swollen</b>.</div>'
    said = {**weight(ward.heavy), "text": {"status": "generated", "div": div}, "note": [{"text": "Left side"}]}
    made = {"heavy": ward.heavy, "light": ward.light, "note": (await ward.session.records.create(said)).stored.id}
    text = question.format(name=ward.name, heavy=ward.heavy)
    page = await search(ward.session, type, text)
    assert ({hit.stored.id for hit in page.hits}, page.total) == ({made[one] for one in answer}, len(answer))
    hidden = await search(elsewhere, type, text)
    assert (hidden.total, hidden.hits, hidden.next) == (0, (), None)


async def test_opening_to_decide_is_bounded_and_on_record(trust: Rig, program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lopez = await admitted(program)
    made = (await program.records.create(cuff(lopez, 150, 80))).stored.id
    question = f"patient={lopez}&component-code-value-quantity=8480-6$gt140"
    before = await entries(trust)
    assert (await search(program, "Observation", question + "&_summary=count")).total == 1
    assert await entries(trust) > before + 1  # what was opened to count, and the search
    assert await found(program, "Observation", question) == [made]
    monkeypatch.setattr(deciding, "OPENED_MAX", 0)
    with pytest.raises(Invalid) as costly:
        await search(program, "Observation", question)
    assert costly.value.reason == "too-costly"


async def entries(trust: Rig) -> int:
    database = await trust.connect()
    number = await database.fetchval("select count(*) from audit.event")
    await database.close()
    return int(number)


async def test_what_points_here_from_a_closed_zone_is_not_told(program: Session, delorme: Session) -> None:
    """The psychiatrist writes a note on a colleague's observation, whose id he was told, and puts it on a list."""
    theirs, mine = await admitted(program), await admitted(delorme)
    observation = (await program.records.create(weight(theirs))).stored.id
    note = {**weight(mine), "derivedFrom": [{"reference": f"Observation/{observation}"}]}
    noted = (await delorme.records.create(note)).stored.id
    listed: dict[str, Any] = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "subject": {"reference": f"Patient/{mine}"},
        "entry": [{"item": {"reference": f"Observation/{one}"}} for one in (observation, noted)],
    }
    named = (await delorme.records.create(listed)).stored.id
    for question in ("_has:Observation:derived-from:status=final", f"_has:Observation:derived-from:_id={noted}", f"_list={named}"):
        assert await found(program, "Observation", f"{question}&patient={theirs}") == []
        assert (await search(program, "Observation", f"{question}&patient={theirs}&_summary=count")).total == 0
    assert await found(program, "Observation", f"_list={named}") == []
    assert await found(delorme, "Observation", f"_list={named}") == [noted]
    assert await found(delorme, "Observation", f"_has:Observation:derived-from:_id={noted}") == []
    assert await found(delorme, "Observation", f"derived-from.code=29463-7&patient={mine}") == []
    assert (await search(delorme, "Observation", f"derived-from.code=29463-7&patient={mine}&_summary=count")).total == 0


async def test_a_list_is_searched_by_its_items(ward: Ward, elsewhere: Session) -> None:
    listed: dict[str, Any] = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "subject": {"reference": f"Patient/{ward.heavy}"},
        "entry": [{"item": {"reference": one}} for one in (f"Patient/{ward.heavy}", f"Observation/{ward.other}")],
    }
    named = (await ward.session.records.create(listed)).stored.id
    assert await found(ward.session, "Patient", f"_list={named}") == [ward.heavy]
    assert await found(ward.session, "Observation", f"_list=List/{named}&code=29463-7") == [ward.other]
    assert await found(ward.session, "Observation", f"_list={named}&code=nothing") == []
    assert await found(elsewhere, "Patient", f"_list={named}") == []


async def test_a_reverse_chain_looks_only_where_the_patients_are(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SCANNED_DOSSIERS_MAX", 0)
    assert await found(ward.session, "Patient", f"family={ward.name}&_has:Observation:patient:value-quantity=gt100") == [ward.heavy]


async def derived(session: Session, patient_id: str, *origins: str) -> str:
    made = {**weight(patient_id), "derivedFrom": [{"reference": f"Observation/{one}"} for one in origins]}
    return (await session.records.create(made)).stored.id


async def test_what_is_brought_along_brings_more_along(ward: Ward, elsewhere: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    second = await derived(ward.session, ward.heavy, ward.observation)
    third = await derived(ward.session, ward.heavy, second, ward.observation)
    ahead = f"_id={third}&_include:iterate=Observation:derived-from&_include:iterate=Observation:encounter"
    behind = f"_id={ward.observation}&_revinclude:iterate=Observation:derived-from&_revinclude=DiagnosticReport:result"

    async def included(question: str) -> set[str]:
        page = await search(ward.session, "Observation", question)
        assert (page.total, [hit.mode for hit in page.hits].count("match")) == (1, 1)
        return {hit.stored.id for hit in page.hits if hit.mode == "include"}

    assert await included(ahead) == {second, ward.observation, ward.encounter}
    assert await included(behind) == {second, third, ward.report}
    assert await included(f"_id={third}&_include=Observation:derived-from") == {second, ward.observation}
    for question in (ahead, behind):
        hidden = await search(elsewhere, "Observation", question)
        assert (hidden.total, hidden.hits) == (0, ())
    monkeypatch.setattr(including, "ROUNDS_MAX", 1)
    with pytest.raises(Invalid) as costly:
        await included(ahead)
    assert costly.value.reason == "too-costly"


async def test_what_goes_round_is_brought_along_once(ward: Ward) -> None:
    second = await derived(ward.session, ward.heavy, ward.observation)
    await ward.session.records.update(
        {**weight(ward.heavy), "id": ward.observation, "derivedFrom": [{"reference": f"Observation/{second}"}]}
    )
    page = await search(ward.session, "Observation", f"_id={second}&_include:iterate=Observation:derived-from")
    assert [(hit.stored.id, hit.mode) for hit in page.hits] == [(second, "match"), (ward.observation, "include")]


async def test_iteration_ends_where_a_zone_is_closed(program: Session, delorme: Session) -> None:
    """A note of the psychiatrist's stands between two of the hospital's: nobody gets past what he cannot open."""
    theirs, mine = await admitted(program), await admitted(delorme)
    first = (await program.records.create(weight(theirs))).stored.id
    between = await derived(delorme, mine, first)
    last = await derived(program, theirs, between)
    for session, id in ((program, last), (delorme, between), (program, first)):
        for link in ("_include:iterate", "_revinclude:iterate"):
            page = await search(session, "Observation", f"_id={id}&{link}=Observation:derived-from")
            assert [(hit.stored.id, hit.mode) for hit in page.hits] == [(id, "match")]


async def test_what_points_at_a_register_is_found_in_the_records(program: Session, delorme: Session) -> None:
    head = (await program.records.create({"resourceType": "Organization", "name": "Group"})).stored.id
    part = {"resourceType": "Organization", "name": "Laboratory", "partOf": {"reference": f"Organization/{head}"}}
    laboratory = (await program.records.create(part)).stored.id
    ours, theirs = await admitted(program), await admitted(delorme)
    measured = {**weight(ours), "performer": [{"reference": f"Organization/{laboratory}"}]}
    made = (await program.records.create(measured)).stored.id
    hidden = (await delorme.records.create({**measured, "subject": {"reference": f"Patient/{theirs}"}})).stored.id
    question = f"_id={head}&_revinclude:iterate=Organization:partof&_revinclude:iterate=Observation:performer"
    page = await search(program, "Organization", question)
    assert {(hit.stored.id, hit.mode) for hit in page.hits} == {(head, "match"), (laboratory, "include"), (made, "include")}
    assert hidden not in {hit.stored.id for hit in page.hits}


async def test_several_keys_order_one_after_the_other(ward: Ward, elsewhere: Session) -> None:
    for given, birth in (("Ana", "1950-01-01"), ("Bea", "1970-01-01"), ("Ana", "1960-01-01")):
        await ward.session.records.create(patient(ward.name, given, birthDate=birth))

    async def given(order: str) -> list[tuple[str, str]]:
        page = await search(ward.session, "Patient", f"family={ward.name}&_sort={order}")
        read = [hit.stored.resource or {} for hit in page.hits]
        return [(one["name"][0]["given"][0], one["birthDate"][:4]) for one in read]

    everybody = [("Ana", "1950"), ("Ana", "1960"), ("Bea", "1970"), ("Heavy", "1950"), ("Light", "1950")]
    assert await given("given,birthdate") == everybody
    assert await given("given,-birthdate") == [everybody[1], everybody[0], *everybody[2:]]
    assert await given("-birthdate,given") == [everybody[2], everybody[1], *everybody[3:], everybody[0]]
    for session, number in ((ward.session, 5), (elsewhere, 0)):
        for total, told in (("none", None), ("estimate", number), ("accurate", number)):
            page = await search(session, "Patient", f"family={ward.name}&_total={total}&_count=2&_sort=given,-birthdate")
            assert (page.total, len(page.hits)) == (told, min(number, 2))


async def test_stays_are_found_by_the_name_of_who_provides_them(
    program: Session, delorme: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = secrets.token_hex(4)
    clinic = (await program.records.create({"resourceType": "Organization", "name": f"Clinic {mark}"})).stored.id
    made = {}
    for session, ward in ((program, CARDIOLOGY), (delorme, TILLEULS)):
        stayed = {**stay(await admitted(session), ward), "serviceProvider": {"reference": f"Organization/{clinic}"}}
        made[session.actor.person] = (await session.records.create(stayed)).stored.id
    monkeypatch.setattr(searching, "SCANNED_DOSSIERS_MAX", 0)  # by tokens, not by opening every record
    assert await found(program, "Encounter", f"service-provider.name=clinic {mark}") == [made[program.actor.person]]
    assert (await search(program, "Encounter", f"service-provider.name=clinic {mark}&_summary=count")).total == 1
