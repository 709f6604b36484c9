"""A patient's whole record in one hospital: stays, consultations, long-standing problems, allergies, appointments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

from cloister.demo.generator import codes, general_stories, psychiatry_stories
from cloister.demo.generator.chance import Chance
from cloister.demo.generator.measures import Place, instant, vitals
from cloister.demo.generator.medication import ALLERGENS, DRUGS, LASTING
from cloister.demo.generator.patient import Person, new_person
from cloister.demo.generator.stay import CLASSES, Stay, at, condition, local, new_stay, note, order, reference, staff
from cloister.demo.generator.story import Story
from cloister.identity import HospitalPlan, WardPlan

RESOURCES_WANTED: Final = 60
STAYS_MAX: Final = 4
STORIES: Final = {"general": general_stories.STORIES, "psychiatric": psychiatry_stories.STORIES}
VISIT: Final = {
    "general": (
        "{who} vu(e) en consultation de suivi. Pas de plainte nouvelle. Traitement bien pris. Examen clinique sans particularité. "
        "Prochain contrôle dans six mois."
    ),
    "psychiatric": (
        "{who} vu(e) en consultation. Sommeil et appétit conservés, contact de bonne qualité, pas d'idée suicidaire. Traitement "
        "poursuivi à l'identique."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A bed for somebody who is in hospital now, if the ward has one left."""

    ward: WardPlan
    bed: str


def _past(chance: Chance, hospital: HospitalPlan, story: Story, before: date, today: date) -> Stay:
    ward = next(ward for ward in hospital.wards if ward.specialty in story.wards)
    since = before - timedelta(days=chance.randint(25, 420))
    return Stay(hospital=hospital, ward=ward, bed=None, since=since, until=since + timedelta(days=chance.randint(*story.days)), now=today)


def new_record(
    chance: Chance, hospital: HospitalPlan, number: int, story: Story, admission: Admission | None, today: date
) -> tuple[Person, list[dict[str, Any]]]:
    """The person, and every resource of the record in the order in which a transaction may write it."""
    person = new_person(chance, hospital.id, number, story.ages, story.sex, today)
    height = chance.gauss(164 if person.gender == "female" else 177, 7)
    weight = chance.gauss(25.5, 4.2) * (height / 100) ** 2
    resources = [person.resource]
    if admission:
        since = today - timedelta(days=chance.randint(1, max(1, story.days[1] - 1)))
        stay = Stay(hospital=hospital, ward=admission.ward, bed=admission.bed, since=since, until=None, now=today)
    else:
        stay = _past(chance, hospital, story, today - timedelta(days=20), today)
    problems = chance.some(story.before, 0, 3)
    for code in problems:
        onset = today - timedelta(days=chance.randint(400, 5000))
        resources.append(condition(chance, code, local(person.id), None, onset, onset + timedelta(days=9), over=False))
    resources += _allergies(chance, person, today)
    resources += new_stay(chance, person, stay, story, height, weight)
    fitting = [
        other
        for other in STORIES[hospital.kind]
        if other.ages[0] <= person.age(today) <= other.ages[1] and other.sex in ("", person.gender)
    ]
    earliest = stay.since
    for _ in range(STAYS_MAX):
        if len(resources) >= RESOURCES_WANTED - 14:
            break
        other = chance.pick(fitting or [replace(story)])
        before = _past(chance, hospital, other, earliest - timedelta(days=other.days[1]), today)
        resources += new_stay(chance, person, before, other, height, weight + chance.gauss(0, 2))
        earliest = before.since
    for months in range(chance.randint(1, 2)):
        day = earliest - timedelta(days=60 + 180 * months + chance.randint(0, 80))
        resources += _visit(chance, person, hospital, stay.ward, story, problems if months == 0 else [], day)
    resources += _appointments(chance, person, hospital, stay.ward, today)
    return person, resources


def _allergies(chance: Chance, person: Person, today: date) -> list[dict[str, Any]]:
    found = []
    for text, group, category, reaction in chance.some(ALLERGENS, 1, 2) if chance.yes(0.4) else ():
        code = codes.concept(codes.ATC, group, text) if group else {"text": text}
        severe = reaction in {"Choc anaphylactique", "Œdème de Quincke", "Bronchospasme"}
        found.append(
            {
                "resourceType": "AllergyIntolerance",
                "id": chance.uuid(),
                "clinicalStatus": codes.hl7("allergyintolerance-clinical", "active", "Active"),
                "verificationStatus": codes.hl7("allergyintolerance-verification", "confirmed", "Confirmed"),
                "type": "allergy",
                "category": [category],
                "criticality": "high" if severe else "low",
                "code": code,
                "patient": local(person.id),
                "recordedDate": (today - timedelta(days=chance.randint(30, 4000))).isoformat(),
                "reaction": [{"manifestation": [{"text": reaction}], "severity": "severe" if severe else "mild"}],
            }
        )
    return found


def _visit(
    chance: Chance, person: Person, hospital: HospitalPlan, ward: WardPlan, story: Story, problems: list[str], day: date
) -> list[dict[str, Any]]:
    """An outpatient consultation, where long-standing problems get their medication."""
    identity = chance.uuid()
    doctor, nurse = staff(chance, ward.id)
    organization = reference("Organization", hospital.id, hospital.name)
    place = Place(patient=local(person.id), encounter=local(identity), doctor=doctor, nurse=nurse, organization=organization)
    start = at(day, chance.randint(8, 16), chance.choice((0, 20, 40)))
    text = VISIT[hospital.kind].replace("{who}", f"{person.title} {person.family}")
    text = text.replace("(e)", "e" if person.gender == "female" else "")
    visit: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": identity,
        "status": "finished",
        "class": CLASSES["AMB"],
        "type": [{"text": "Consultation externe"}],
        "serviceType": {"text": ward.name},
        "subject": place.patient,
        "participant": [{"individual": doctor}],
        "period": {"start": instant(start), "end": instant(start + timedelta(minutes=30))},
        "serviceProvider": organization,
    }
    lasting = dict.fromkeys(atc for code in problems for atc in LASTING.get(code, ()) if atc not in story.drugs)
    return [
        visit,
        *vitals(chance, place, replace(story, signs={}, pain=0), start + timedelta(minutes=4), 1.0),
        *(order(chance, DRUGS[atc], place, start + timedelta(minutes=25), "active", stay=False) for atc in lasting),
        note(chance, "consultation", text, doctor, place, start + timedelta(minutes=28)),
    ]


def _appointments(chance: Chance, person: Person, hospital: HospitalPlan, ward: WardPlan, today: date) -> list[dict[str, Any]]:
    booked = []
    for _ in range(chance.randint(0, 2)):
        doctor, _nurse = staff(chance, ward.id)
        start = at(today + timedelta(days=chance.randint(2, 120)), chance.randint(8, 16), chance.choice((0, 15, 30, 45)))
        booked.append(
            {
                "resourceType": "Appointment",
                "id": chance.uuid(),
                "status": "booked",
                "serviceType": [{"text": ward.name}],
                "description": "Consultation de suivi",
                "start": instant(start),
                "end": instant(start + timedelta(minutes=30)),
                "participant": [
                    {"actor": local(person.id), "status": "accepted"},
                    {"actor": doctor, "status": "accepted"},
                    {"actor": reference("Location", ward.id, ward.name), "status": "accepted"},
                ],
            }
        )
    return booked
