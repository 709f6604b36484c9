"""Patients: names, birth dates, INS of the test range, addresses. FHIR R4 Patient, 8.1.

Telephone numbers come from the ranges that ARCEP keeps for fiction (06 39 98, 02 61 91); streets and people are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from cloister.demo.generator import codes
from cloister.demo.generator.chance import Chance
from cloister.demo.generator.people_tables import FAMILIES, MEN, NEAR, STREETS, TOWNS, WOMEN

CORE: Final = "https://hl7.fr/ig/fhir/core"
UNQUALIFIED: Final = 24  # of 256 patients, whose identity is provisional


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A made-up person, as texts speak of them."""

    resource: dict[str, Any]
    id: str
    family: str
    given: str
    gender: str
    born: date

    @property
    def title(self) -> str:
        return "Mme" if self.gender == "female" else "M."

    def age(self, on: date) -> int:
        return on.year - self.born.year - ((on.month, on.day) < (self.born.month, self.born.day))


def ins_of(gender: str, born: date, commune: str, order: int) -> str:
    """An INS matricule: sex, year, month, commune, order of birth, then the key 97 - n mod 97."""
    number = f"{1 if gender == 'male' else 2}{born.year % 100:02d}{born.month:02d}{commune}{order:03d}"
    return f"{number}{97 - int(number) % 97:02d}"


def _ins(matricule: str) -> dict[str, Any]:
    return {
        "use": "official",
        "type": {"coding": [{"system": f"{CORE}/CodeSystem/fr-core-cs-v2-0203", "code": "INS-NIR-TEST"}]},
        "system": codes.INS_TEST,
        "value": matricule,
    }


def _identity(commune: tuple[str, str, str], *, qualified: bool) -> list[dict[str, Any]]:
    """How sure the identity is, and the place of birth: without a qualified identity there is no INS (records/validation/ins.py)."""
    status = {"system": f"{CORE}/CodeSystem/fr-core-cs-v2-0445", "code": "VALI" if qualified else "PROV"}
    insee = {"system": "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM", "code": commune[2]}
    return [
        {
            "url": f"{CORE}/StructureDefinition/fr-core-identity-reliability",
            "extension": [{"url": "identityStatus", "valueCoding": status}],
        },
        {
            "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
            "valueAddress": {
                "extension": [{"url": f"{CORE}/StructureDefinition/fr-core-address-insee-code", "valueCoding": insee}],
                "city": commune[0],
            },
        },
    ]


def new_person(chance: Chance, hospital: str, number: int, ages: tuple[int, int], sex: str, today: date) -> Person:
    gender = sex or ("female" if chance.yes(0.52) else "male")
    years = chance.randint(*ages)
    born = today - timedelta(days=int(years * 365.25) + chance.randint(1, 360))
    generation = 0 if born.year < 1960 else 1 if born.year < 1990 else 2
    names = (WOMEN if gender == "female" else MEN)[generation]
    given = chance.some(names, 1, 3)
    family = chance.pick(FAMILIES)
    town = chance.pick(NEAR) if chance.yes(0.75) else chance.pick(TOWNS)
    identity = chance.uuid()
    commune, order = chance.pick(TOWNS), chance.randint(1, 999)
    qualified = int(identity[:2], 16) >= UNQUALIFIED
    name: dict[str, Any] = {"use": "official", "family": family, "given": given}
    names_used = [name]
    if gender == "female" and generation < 2 and chance.yes(0.5):
        # The name of birth stays the official one (identitovigilance); the married one is what she uses.
        names_used.append({"use": "usual", "family": chance.pick(FAMILIES), "given": given[:1]})
    resource = {
        "resourceType": "Patient",
        "id": identity,
        "extension": _identity(commune, qualified=qualified),
        "identifier": [
            *([_ins(ins_of(gender, born, commune[2], order))] if qualified else []),
            {
                "use": "usual",
                "type": codes.hl7("v2-0203", "PI", "Patient internal identifier"),
                "system": f"https://{hospital}.example/ipp",
                "value": f"8{number:08d}",
            },
        ],
        "active": True,
        "name": names_used,
        "telecom": [
            {"system": "phone", "value": f"+33 6 39 98 {chance.randrange(100):02d} {chance.randrange(100):02d}", "use": "mobile"},
        ],
        "gender": gender,
        "birthDate": born.isoformat(),
        "address": [
            {
                "use": "home",
                "line": [f"{chance.randint(1, 148)} {chance.pick(STREETS)}"],
                "city": town[0],
                "postalCode": town[1],
                "country": "FR",
            }
        ],
        "contact": [
            {
                "relationship": [codes.hl7("v2-0131", "C", "Emergency Contact")],
                "name": {"family": family, "given": [chance.pick((WOMEN if chance.yes(0.5) else MEN)[1])]},
                "telecom": [{"system": "phone", "value": f"+33 2 61 91 {chance.randrange(100):02d} {chance.randrange(100):02d}"}],
            }
        ],
        "communication": [
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "fr-FR"}], "text": "français"}, "preferred": True}
        ],
        "managingOrganization": {"reference": f"Organization/{hospital}"},
    }
    return Person(resource=resource, id=identity, family=family, given=given[0], gender=gender, born=born)
