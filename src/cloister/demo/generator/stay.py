"""One stay in a ward: Encounter, diagnosis, medication, rounds of vital signs, samples and notes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from cloister.demo.cast import staff_of
from cloister.demo.generator import codes
from cloister.demo.generator.chance import Chance
from cloister.demo.generator.measures import Place, build, instant, laboratory, vitals
from cloister.demo.generator.medication import DRUGS, Drug
from cloister.demo.generator.patient import Person
from cloister.demo.generator.story import Story
from cloister.identity import HospitalPlan, Role, WardPlan

ROUNDS_MAX: Final = 8
SAMPLES_MAX: Final = 3
CLASSES: Final = {
    "IMP": {"system": f"{codes.HL7}/v3-ActCode", "code": "IMP", "display": "inpatient encounter"},
    "EMER": {"system": f"{codes.HL7}/v3-ActCode", "code": "EMER", "display": "emergency"},
    "AMB": {"system": f"{codes.HL7}/v3-ActCode", "code": "AMB", "display": "ambulatory"},
}
ENCOUNTER_DIAGNOSIS: Final = [codes.hl7("condition-category", "encounter-diagnosis", "Encounter Diagnosis")]
PROBLEM: Final = [codes.hl7("condition-category", "problem-list-item", "Problem List Item")]
CONFIRMED: Final = codes.hl7("condition-ver-status", "confirmed", "Confirmed")
ONGOING: Final = codes.hl7("condition-clinical", "active", "Active")
OVER: Final = codes.hl7("condition-clinical", "resolved", "Resolved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Where and when; `until` is None while the patient is in the ward. A finished stay has no bed any more."""

    hospital: HospitalPlan
    ward: WardPlan
    bed: str | None
    since: date
    until: date | None
    now: date


def reference(kind: str, identity: str, display: str = "") -> dict[str, str]:
    return {"reference": f"{kind}/{identity}", **({"display": display} if display else {})}


def local(identity: str) -> dict[str, str]:
    return {"reference": f"urn:uuid:{identity}"}


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), UTC)


def staff(chance: Chance, ward: str) -> tuple[dict[str, str], dict[str, str]]:
    """A doctor and a nurse of the ward, as references."""
    people = staff_of(ward)
    doctor = chance.pick([person for person in people if person[2] is Role.DOCTOR])
    nurse = chance.pick([person for person in people if person[2] is Role.NURSE])
    return reference("Practitioner", doctor[0], doctor[1]), reference("Practitioner", nurse[0], nurse[1])


def condition(
    chance: Chance, code: str, patient: dict[str, str], encounter: dict[str, str] | None, onset: date, recorded: date, *, over: bool
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Condition",
        "id": chance.uuid(),
        "clinicalStatus": OVER if over else ONGOING,
        "verificationStatus": CONFIRMED,
        "category": ENCOUNTER_DIAGNOSIS if encounter else PROBLEM,
        "code": codes.concept(codes.ICD10, code, codes.DIAGNOSES[code]),
        "subject": patient,
        "onsetDateTime": onset.isoformat(),
        "recordedDate": recorded.isoformat(),
    }
    if encounter:
        resource["encounter"] = encounter
    return resource


def _figure(value: float) -> str:
    return f"{value:g}".replace(".", ",")


def order(chance: Chance, drug: Drug, place: Place, authored: datetime, status: str, *, stay: bool) -> dict[str, Any]:
    """A MedicationRequest, FHIR R4 11.1."""
    rhythm = f"{drug.times} fois par jour" if drug.times else "une fois par semaine" if drug.atc == "M05BA04" else "si besoin"
    units = {"[iU]": "UI", "ug": "µg", "[drp]": "goutte"}
    dosage: dict[str, Any] = {
        "text": f"{_figure(drug.dose)} {units.get(drug.unit, drug.unit)}, {drug.route}, {rhythm}",
        "route": {"text": drug.route},
        "doseAndRate": [{"doseQuantity": {"value": drug.dose, "unit": drug.unit, "system": codes.UCUM, "code": drug.unit}}],
    }
    if drug.times:
        dosage["timing"] = {"repeat": {"frequency": drug.times, "period": 1, "periodUnit": "d"}}
    elif drug.atc == "M05BA04":
        dosage["timing"] = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk"}}
    else:
        dosage["asNeededBoolean"] = True
    category = ("inpatient", "Inpatient") if stay else ("community", "Community")
    return {
        "resourceType": "MedicationRequest",
        "id": chance.uuid(),
        "status": status,
        "intent": "order",
        "category": [codes.hl7("medicationrequest-category", *category)],
        "medicationCodeableConcept": codes.concept(codes.ATC, drug.atc, drug.name),
        "subject": place.patient,
        "encounter": place.encounter,
        "authoredOn": instant(authored),
        "requester": place.doctor,
        "dosageInstruction": [dosage],
    }


def note(chance: Chance, kind: str, text: str, author: dict[str, str], place: Place, moment: datetime) -> dict[str, Any]:
    """A DocumentReference with its text inside, FHIR R4 10.3."""
    when = instant(moment)
    return {
        "resourceType": "DocumentReference",
        "id": chance.uuid(),
        "status": "current",
        "docStatus": "final",
        "type": codes.NOTE_KINDS[kind],
        "category": [
            {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note"}]}
        ],
        "subject": place.patient,
        "date": when,
        "author": [author],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "language": "fr",
                    "data": base64.b64encode(text.encode()).decode(),
                    "title": codes.NOTE_KINDS[kind]["text"],
                    "creation": when,
                }
            }
        ],
        "context": {"encounter": [place.encounter]},
    }


def encounter(identity: str, stay: Stay, story: Story, place: Place, diagnosis: str, finish: datetime | None) -> dict[str, Any]:
    """FHIR R4 Encounter, 8.11. In progress, its location names the ward and the bed."""
    emergency = stay.ward.specialty == "emergency"
    period = {"start": instant(at(stay.since, 9, 40))}
    if finish:
        period["end"] = instant(finish)
    status = "completed" if finish else "active"
    locations = [{"location": reference("Location", stay.ward.id, stay.ward.name), "status": status}]
    if stay.bed:
        locations.append({"location": reference("Location", stay.bed, f"Lit {stay.bed.rsplit('-', 1)[1]}"), "status": status})
    return {
        "resourceType": "Encounter",
        "id": identity,
        "status": "finished" if finish else "in-progress",
        "class": CLASSES["EMER" if emergency else "IMP"],
        "type": [{"text": "Passage aux urgences" if emergency else "Hospitalisation complète"}],
        "serviceType": {"text": stay.ward.name},
        "subject": place.patient,
        "participant": [{"individual": place.doctor}],
        "period": period,
        "reasonCode": [{"text": story.reason}],
        "diagnosis": [{"condition": local(diagnosis)}],
        "location": locations,
        "serviceProvider": place.organization,
    }


def new_stay(chance: Chance, person: Person, stay: Stay, story: Story, height: float, weight: float) -> list[dict[str, Any]]:
    """Everything of one stay, the Encounter first."""
    identity = chance.uuid()
    doctor, nurse = staff(chance, stay.ward.id)
    place = Place(
        patient=local(person.id),
        encounter=local(identity),
        doctor=doctor,
        nurse=nurse,
        organization=reference("Organization", stay.hospital.id, stay.hospital.name),
    )
    last = stay.until or stay.now
    days = max(1, (last - stay.since).days)
    finish = at(last, 15, 30) if stay.until else None
    main = condition(
        chance, story.diagnosis, place.patient, place.encounter, stay.since, stay.since, over=finish is not None and not _lasts(story)
    )
    resources = [encounter(identity, stay, story, place, main["id"], finish), main]
    resources += build(chance, place, height, weight, at(stay.since, 10, 5))
    # Of a stay still going on, only so much is better as days have passed.
    whole = days if finish else max(days + 2, story.days[1])
    for step in range(rounds := min(2 * days, ROUNDS_MAX)):
        half = step * 2 * days // rounds
        moment = at(stay.since + timedelta(days=half // 2), 10 if half % 2 == 0 else 18, chance.randint(5, 55))
        resources += vitals(chance, place, story, moment, min(1.0, half / (2 * whole)))
    for step in range(samples := min(days, SAMPLES_MAX)):
        day = step * days // samples
        moment = at(stay.since + timedelta(days=day), 11, chance.randint(0, 50))
        resources += laboratory(chance, place, story, moment, min(1.0, day / whole))
    for atc in story.drugs:
        drug = DRUGS[atc]
        status = "active" if finish is None or drug.lasting else "completed"
        resources.append(order(chance, drug, place, at(stay.since, 12, chance.randint(0, 59)), status, stay=True))
    resources += _notes(chance, person, place, stay, story, days, finish)
    return resources


def _lasts(story: Story) -> bool:
    """Whether the diagnosis stays on the problem list after the stay."""
    return story.diagnosis[0] == "F" or story.diagnosis in {"I50.1", "I48.9", "J44.1", "I21.4"}


def _notes(
    chance: Chance, person: Person, place: Place, stay: Stay, story: Story, days: int, finish: datetime | None
) -> list[dict[str, Any]]:
    she = person.gender == "female"

    def told(text: str) -> str:
        who = f"{person.title} {person.family} {person.given}"
        text = text.replace("{who}", who).replace("{age}", str(person.age(stay.since)))
        for mark in ("(e)", "(s)"):
            text = text.replace(mark, mark[1] if she else "")
        return text

    def day(number: int, hour: int) -> datetime:
        return at(stay.since + timedelta(days=min(number, max(days - 1, 0))), hour, chance.randint(0, 59))

    kind = "emergency" if stay.ward.specialty == "emergency" else "admission"
    notes = [note(chance, kind, told(story.admission), place.doctor, place, day(0, 11))]
    notes += [note(chance, "legal", told(text), place.doctor, place, day(number, 12)) for number, text in enumerate(story.legal)]
    if story.operation and days > 1:
        done, report = story.operation
        notes.append(note(chance, "operation", told(f"{done}. {report}"), place.doctor, place, day(1, 14)))
        notes.append(_procedure(chance, done, place, day(1, 13)))
    seen = story.evolution if finish else story.evolution[: max(1, min(len(story.evolution), days // 2))]
    notes += [note(chance, "progress", told(text), place.doctor, place, day(1 + number * 2, 16)) for number, text in enumerate(seen)]
    notes += [note(chance, "nurse", told(text), place.nurse, place, day(1 + number, 7)) for number, text in enumerate(story.nursing)]
    if finish:
        text = f"{person.title} {person.family} {person.given}, née" if she else f"{person.title} {person.family} {person.given}, né"
        text += f" le {person.born:%d/%m/%Y}. {told(story.discharge)}"
        notes.append(note(chance, "discharge", text, place.doctor, place, finish - timedelta(minutes=50)))
    return notes


def _procedure(chance: Chance, done: str, place: Place, moment: datetime) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": chance.uuid(),
        "status": "completed",
        "code": {"text": done},
        "subject": place.patient,
        "encounter": place.encounter,
        "performedDateTime": instant(moment),
        "performer": [{"actor": place.doctor}],
    }
