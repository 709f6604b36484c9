"""The work list and the patient search: many patients on one screen, none of them in a banner."""

from __future__ import annotations

import pytest
from epr_cast import ADELE, CARDIOLOGY, CLAIRE, NOW, SURGERY, Browser, MemoryRecord, observation, patient, served

from cloister.base.errors import Invalid
from cloister.epr.modules.patients.screens import Asked, asked


def stay(identity: str, ward: str, bed: str, *, start: str = "2026-11-20T09:00:00Z", status: str = "in-progress") -> dict[str, object]:
    return {
        "resourceType": "Encounter",
        "id": f"stay-{identity}",
        "status": status,
        "class": {"code": "IMP"},
        "subject": {"reference": f"Patient/{identity}"},
        "period": {"start": start},
        "reasonCode": [{"text": "Décompensation cardiaque"}],
        "location": [
            {"location": {"reference": f"Location/{ward}", "display": "Ward"}, "status": "active"},
            {"location": {"reference": f"Location/{ward}-{bed}", "display": f"Lit {bed}"}, "status": "active"},
        ],
    }


def ward(record: MemoryRecord) -> MemoryRecord:
    record.add(patient("9", name=[{"family": "Royer", "given": ["Lucien"]}]))
    record.add(patient("8", name=[{"family": "Besnard", "given": ["Jean"]}]))
    record.add(stay("4711", CARDIOLOGY.id, "02"))
    record.add(stay("9", CARDIOLOGY.id, "01"))
    record.add(stay("8", SURGERY.id, "01"))
    return record


async def test_the_first_page_is_one_s_own_ward_in_the_order_of_beds(record: MemoryRecord) -> None:
    page = await Browser(served(ward(record))).get("/")
    assert page.text.index("ROYER") < page.text.index("LOPEZ")
    assert "BESNARD" not in page.text
    assert "Only Cardiologie. 2 patients, sorted by ward and bed. Read at " in page.text
    assert '<td class="text-end num">3</td>' in page.text, "the third day"
    assert 'class="banner' not in page.text


async def test_all_wards_are_one_click_away(record: MemoryRecord) -> None:
    page = await Browser(served(ward(record))).get("/?ward=all")
    assert "BESNARD" in page.text
    assert "3 patients" in page.text


async def test_a_stay_that_has_ended_is_not_on_the_list(record: MemoryRecord) -> None:
    record.add(stay("4711", CARDIOLOGY.id, "02", status="finished"))
    assert "Nobody lies in this ward now." in (await Browser(served(record)).get("/")).text


async def test_alerts_and_results_since_yesterday_stand_beside_the_name(record: MemoryRecord) -> None:
    ward(record)
    record.add(
        {
            "resourceType": "AllergyIntolerance",
            "criticality": "high",
            "code": {"text": "Pénicilline"},
            "patient": {"reference": "Patient/4711"},
        }
    )
    ranges = [{"high": {"value": 5.1}}]
    today = NOW.date().isoformat()
    record.add(observation("4711", "2823-3", 6.2, f"{today}T08:00:00Z", unit="mmol/L", category="laboratory", referenceRange=ranges))
    record.add(observation("4711", "2951-2", 140, f"{today}T08:00:00Z", unit="mmol/L", category="laboratory"))
    record.add(observation("4711", "2951-2", 139, "2026-11-10T08:00:00Z", unit="mmol/L", category="laboratory"))
    page = await Browser(served(record)).get("/")
    assert "Allergy: Pénicilline" in page.text
    assert "2 new" in page.text
    assert "1 outside range" in page.text


async def test_a_list_that_could_not_be_completed_says_so(record: MemoryRecord) -> None:
    ward(record)
    search = record.search

    async def costly(query: object) -> object:
        if getattr(query, "type", "") == "Observation":
            raise Invalid("Too many dossiers at once.", reason="too-costly")
        return await search(query)

    record.search = costly  # type: ignore[assignment,method-assign]
    page = await Browser(served(record)).get("/")
    assert page.status_code == 200
    assert "not complete here" in page.text


async def test_somebody_without_a_ward_is_told_who_can_grant_one(record: MemoryRecord) -> None:
    page = await Browser(served(record, ADELE, wards=())).get("/")
    assert "Un responsable médical des accès peut vous habiliter." in page.text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lopez maria", Asked(("lopez", "maria"))),
        ("lopez 05/03/1958", Asked(("lopez",), "1958-03-05")),
        ("05-mars-1958", Asked((), "1958-03-05")),
        ("258037511600123", Asked((), "", ("258037511600123",))),
        ("de la tour 1958-03-05", Asked(("de", "la", "tour"), "1958-03-05")),
        ("l", Asked()),
        ("", Asked()),
    ],
)
def test_the_one_box_understands_names_dates_and_numbers(typed: str, meant: Asked) -> None:
    assert asked(typed) == meant


async def test_a_patient_is_found_by_name_birth_date_and_number(record: MemoryRecord) -> None:
    browser = Browser(served(ward(record)))
    for typed in ("lopez", "LÓPEZ maria", "lopez 05/03/1958", "258037511600123"):
        page = await browser.post("/patients", q=typed)
        assert "LOPEZ, Maria (Mme)" in page.text, typed
    assert 'class="banner' not in page.text


async def test_searching_by_form_keeps_the_name_out_of_the_address(record: MemoryRecord) -> None:
    page = await Browser(served(record)).get("/patients")
    assert '<form method="post" action="/patients"' in page.text


async def test_nobody_found_says_that_this_says_nothing(record: MemoryRecord) -> None:
    page = await Browser(served(record, CLAIRE)).post("/patients", q="nobody")
    assert "This says nothing about whether they have a record." in page.text


async def test_a_search_that_finds_too_many_says_that_it_is_cut(record: MemoryRecord) -> None:
    for number in range(120):
        record.add(patient(f"m{number}", name=[{"family": "Martin", "given": [f"Jean{number}"]}]))
    page = await Browser(served(record)).post("/patients", q="martin")
    assert "More than 100 patients match." in page.text


async def test_accents_and_capitals_do_not_change_the_order_of_names(record: MemoryRecord) -> None:
    for number, family in enumerate(("Marty", "Maréchal", "MARTIN")):
        record.add(patient(f"n{number}", name=[{"family": family, "given": ["Zoé"]}]))
    page = (await Browser(served(record)).post("/patients", q="mar")).text
    assert page.index("MARÉCHAL") < page.index("MARTIN") < page.index("MARTY")
