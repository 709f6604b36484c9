"""A few people with stays, measurements and what else a record has, and the searches that every zone answers alike."""

from __future__ import annotations

import secrets
import uuid
from typing import Any, Final

from store_rig import Session

LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
ICD: Final = "http://hl7.org/fhir/sid/icd-10"
INS: Final = "urn:test:ins"
V2: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
TAGS: Final = "urn:test:tags"
WORDS: Final = '<div xmlns="http://www.w3.org/1999/xhtml">Genou <b>gauche</b> enflé</div>'


def coded(system: str, *codes: str, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **more} for code in codes]}


def measured(who: str, code: str, value: float, day: str, **more: Any) -> dict[str, Any]:
    quantity = {"value": value, "unit": "kg", "system": UCUM, "code": "kg"}
    about = {"status": "final", "code": coded(LOINC, code, display="Poids du corps"), "subject": {"reference": who}}
    return {"resourceType": "Observation", **about, "effectiveDateTime": day, "valueQuantity": quantity, **more}


def stay(who: str, status: str, place: str, **more: Any) -> dict[str, Any]:
    here = {"status": status, "class": {"code": "IMP"}, "subject": {"reference": who}, "location": [{"location": {"reference": place}}]}
    return {"resourceType": "Encounter", **here, **more}


def pressure(who: str, systolic: float, diastolic: float, **more: Any) -> dict[str, Any]:
    parts = [
        {"code": coded(LOINC, code), "valueQuantity": {"value": value, "system": UCUM, "code": "mm[Hg]"}}
        for code, value in (("8480-6", systolic), ("8462-4", diastolic))
    ]
    about = {"status": "final", "code": coded(LOINC, "85354-9"), "subject": {"reference": who}}
    return {"resourceType": "Observation", **about, "component": parts, **more}


def everybody(id: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The resources by the names that the searches use; `id` gives each a place to point at."""
    ana, eva = f"Patient/{id['ana']}", f"Patient/{id['eva']}"
    numbers = [
        {"system": INS, "value": f"28103{id['mark']}", "type": coded(V2, "NI", display="Numéro national")},
        {"value": f"IPP-{id['mark']}"},
    ]
    return {
        "ana": {
            "resourceType": "Patient", "identifier": numbers, "active": True, "gender": "female", "birthDate": "1981-03-14",
            "name": [{"family": "López-Núñez", "given": ["Hélène", "Ana"]}], "address": [{"city": "Évry", "line": ["3 rue de l'Œuvre"]}],
        },
        "eva": {
            "resourceType": "Patient", "gender": "male", "birthDate": "1980", "name": [{"family": "Lopes, dit Lo$|e"}],
            "link": [{"other": {"reference": ana}, "type": "seealso"}], "deceasedBoolean": True,
        },
        "leo": {"resourceType": "Patient", "name": [{"text": "Œuvré Léo"}], "telecom": [{"system": "phone", "value": "+33 1"}]},
        "hospital": {"resourceType": "Location", "name": "Hôpital", "position": {"latitude": 48.8566, "longitude": 2.3522}},
        "wing": {"resourceType": "Location", "name": "Aile", "partOf": {"reference": f"Location/{id['hospital']}"}},
        "room": {"resourceType": "Location", "name": "Chambre 3", "partOf": {"reference": f"Location/{id['wing']}"}},
        "birth": stay(ana, "in-progress", f"Location/{id['room']}", period={"start": "2026-11-20T08:00:00+01:00"}),
        "visit": stay(ana, "finished", f"Location/{id['hospital']}", period={"start": "2025-01-02", "end": "2025-01-05"}),
        "born": stay(eva, "finished", f"Location/{id['wing']}", partOf={"reference": f"Encounter/{id['birth']}"}),
        "weight": measured(
            ana, "29463-7", 71.5, "2026-11-20T08:00:00+01:00", encounter={"reference": f"Encounter/{id['birth']}"},
            text={"status": "generated", "div": WORDS},
        ),
        "heavier": measured(ana, "29463-7", 73, "2026-11-21", performer=[{"identifier": {"system": "urn:rpps", "value": "1"}}]),
        "newborn": measured(eva, "8339-4", 3.25, "2026-11", derivedFrom=[{"reference": f"Observation/{id['weight']}"}]),
        "guess": {
            "resourceType": "Observation", "status": "preliminary", "code": {"text": "Poids estimé"}, "subject": {"reference": eva},
            "effectivePeriod": {"start": "2026-11-19", "end": "2026-11-22"}, "valueQuantity": {"value": 4, "comparator": "<", "unit": "kg"},
        },
        "high": pressure(ana, 150, 80), "odd": pressure(ana, 90, 145),
        "angina": {
            "resourceType": "Condition", "subject": {"reference": ana}, "code": coded(ICD, "I20.0", display="Angor instable"),
            "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        },
        "signed": {
            "resourceType": "Provenance", "target": [{"reference": f"Observation/{id['weight']}"}], "recorded": "2026-11-20T09:00:00Z",
            "agent": [{"who": {"display": "Dr X"}}],
        },
        "meeting": {
            "resourceType": "Appointment", "status": "booked", "start": "2026-12-01T09:00:00Z",
            "end": "2026-12-01T10:00:00Z", "participant": [{"status": "accepted", "actor": {"reference": one}} for one in (ana, eva)],
        },
        "answers": answered(ana, "http://example.org/mood|1.2.3"), "newer": answered(ana, "http://example.org/mood|2.0"),
        "pacer": {"resourceType": "Device", "patient": {"reference": ana}, "serialNumber": "77"},
        "listed": {
            "resourceType": "List", "status": "current", "mode": "working", "subject": {"reference": ana},
            "entry": [{"item": {"reference": f"Observation/{id[one]}"}} for one in ("weight", "newborn")],
        },
    }  # fmt: skip


def answered(who: str, form: str) -> dict[str, Any]:
    return {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": form, "subject": {"reference": who}}


async def settled(session: Session) -> dict[str, str]:
    """All of them written; their ids by name, and the mark that is on each."""
    id = {"mark": secrets.token_hex(4)} | {name: str(uuid.uuid4()) for name in NAMES}
    entries = []
    for name, resource in everybody(id).items():
        tagged = resource | {"id": id[name], "meta": {"tag": [{"system": TAGS, "code": id["mark"]}]}}
        entries.append({"resource": tagged, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{id[name]}"}})
    await session.records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return id


NAMES: Final = (
    *("ana", "eva", "leo", "hospital", "wing", "room", "birth", "visit", "born", "weight", "heavier", "newborn", "guess", "high", "odd"),
    *("angina", "signed", "meeting", "answers", "newer", "pacer", "listed"),
)

# Type?parameters : who is found, in this order where they stand with '>'.
SEARCHES: Final = r"""
Patient? : ana eva leo
Patient?family=lopez : ana
Patient?family=lop : ana eva
Patient?family:contains=nunez : ana
Patient?family:exact=López-Núñez : ana
Patient?family:exact=lópez-núñez :
Patient?name=oeuvre : leo
Patient?family=lopes\, dit lo\$\|e : eva
Patient?name=lopez,oeuvre : ana leo
Patient?given=ana&gender=female : ana
Patient?address-city=EVRY : ana
Patient?birthdate=1981-03-14 : ana
Patient?birthdate=1980 : eva
Patient?birthdate=ge1980 : ana eva
Patient?birthdate=gt1980 : ana
Patient?birthdate:missing=true : leo
Patient?birthdate=ne1980 : ana
Patient?identifier={ins}|28103{mark} : ana
Patient?identifier=28103{mark} : ana
Patient?identifier=|ipp-{mark} : ana
Patient?identifier={ins}| : ana
Patient?identifier:of-type={v2}|NI|28103{mark} : ana
Patient?identifier:not=28103{mark} : eva leo
Patient?identifier:text=numero nat : ana
Patient?gender:not=female : eva leo
Patient?deceased=true : eva
Patient?phone=%2B33 1 : leo
Patient?_id={ana},{leo} : ana leo
Patient?link=Patient/{ana} : eva
Patient?link.family=lopez : eva
Patient?_has:Patient:link:gender=male : ana
Patient?_has:Observation:patient:code=8339-4 : eva
Patient?_has:Appointment:patient:status=booked : ana eva
Patient?_has:Encounter:patient:_has:Observation:encounter:value-quantity=gt70 : ana
Patient?_content=evry : ana
Patient?_lastUpdated=gt2020 : ana eva leo
Patient?_lastUpdated=lt2020 :
Patient?_has:Device:patient:device-name:missing=true : ana
Location?partof={hospital} : wing
Location?partof:below=Location/{hospital} : wing room
Patient?phonetic=loppes : ana eva
Location?near=48.85|2.35|1|km : hospital
Location?name=chambre : room
Encounter?location:below={hospital} : birth visit born
Encounter?location:below={wing} : birth born
Encounter?location:above={wing} : visit born
Encounter?location={hospital} : visit
Encounter?location.name=chambre : birth
Encounter?part-of=Encounter/{birth} : born
Encounter?part-of:below={birth} : born
Encounter?part-of.patient.family=lopez : born
Encounter?status=in-progress : birth
Encounter?status:not=in-progress : visit born
Encounter?date=2025-01 : visit
Encounter?date=ge2026-11-25 : birth
Encounter?date=sa2025-01-05 : birth
Encounter?date=eb2025-01-06 : visit
Encounter?patient={eva} : born
Encounter?subject=Patient/{ana}&status=finished : visit
Observation?patient={ana}&code={loinc}|29463-7 : weight heavier
Observation?code=29463-7,8339-4 : weight heavier newborn
Observation?encounter={birth} : weight
Observation?encounter.part-of:missing=true : weight
Observation?derived-from={weight} : newborn
Observation?derived-from.patient.birthdate=1981-03-14 : newborn
Observation?code:text=poids : weight heavier newborn guess
Observation?date=2026-11-20 : weight
Observation?date=2026-11-20T07:00:00Z : weight
Observation?date=2026-11-20T08:00:00+01:00 : weight
Observation?date=2026-11 : weight heavier newborn guess
Observation?date=gt2026-11-20 : heavier newborn guess
Observation?date=le2026-11-20 : weight newborn guess
Observation?date=sa2026-11-20 : heavier
Observation?date=eb2026-11-21 : weight
Observation?value-quantity=71.5 : weight
Observation?value-quantity=71 :
Observation?value-quantity=71.50 : weight
Observation?value-quantity=gt71.5 : heavier
Observation?value-quantity=ge71.5 : weight heavier
Observation?value-quantity=lt3 : guess
Observation?value-quantity=3.3 : newborn
Observation?value-quantity=ap70|{ucum}|kg : weight heavier
Observation?value-quantity=71.5||kg : weight
Observation?value-quantity=71.5|{ucum}|g :
Observation?component-code-value-quantity=8480-6$gt140 : high
Observation?component-code-value-quantity=8462-4$gt140 : odd
Observation?performer:identifier=urn:rpps|1 : heavier
Observation?_text=gauche : weight
Observation?_list={listed} : weight newborn
Observation?_has:Provenance:target:recorded=2026-11-20 : weight
Observation?patient.family=lopes : newborn guess
Observation?subject:Patient.birthdate=1980 : newborn guess
Observation?status=preliminary : guess
Observation?_sort=-value-quantity&value-quantity:missing=false : heavier>weight>newborn>guess
Observation?_sort=date,-code&date:missing=false : newborn>guess>weight>heavier
Condition?code={icd}|i20.0 : angina
Condition?code:text=angor : angina
Condition?clinical-status=active&patient={ana} : angina
Provenance?target=Observation/{weight} : signed
Provenance?target:Observation={weight} : signed
Provenance?target:Observation.code=29463-7 : signed
Appointment?patient={eva} : meeting
Appointment?patient=Patient/{ana}&status=booked : meeting
Appointment?patient.family=lopes : meeting
QuestionnaireResponse?questionnaire=http://example.org/mood : answers newer
QuestionnaireResponse?questionnaire=http://example.org/mood|2.0 : newer
QuestionnaireResponse?questionnaire:below=http://example.org/mood|1.2 : answers
Device?patient={ana} : pacer
List?item=Observation/{newborn} : listed
"""

# The same, and what comes along.
ALONG: Final = """
Observation?_id={weight}&_include=Observation:encounter&_include=Observation:subject : ana birth
Observation?_id={weight}&_include=* : ana birth
Observation?_id={weight}&_revinclude=Provenance:target&_revinclude=Observation:derived-from : signed newborn
Observation?_id={weight}&_include=Observation:encounter&_include:iterate=Encounter:location,Location:partof : birth room wing hospital
Patient?_id={ana}&_revinclude=Patient:link&_revinclude=Appointment:patient : eva meeting
Encounter?_id={birth}&_revinclude=Encounter:* : born
Location?_id={wing}&_revinclude:iterate=Location:partof&_revinclude:iterate=Encounter:location : room birth born
"""


def table(text: str, id: dict[str, str]) -> list[tuple[str, str, str]]:
    """(type, parameters, expected) of each line."""
    names = id | {"ins": INS, "loinc": LOINC, "ucum": UCUM, "icd": ICD, "v2": V2}
    rows = [line.rpartition(" :") for line in text.strip().splitlines()]
    return [(*question.partition("?")[::2], expected.strip()) for line, _, expected in rows for question in [line.format(**names)]]
