"""The demo trust's plan: two hospitals, six wards, their people, two programs, a machine. Nobody here exists.

Every ward has two doctors and two nurses. In the general hospital doctors open their ward and the whole hospital, nurses
their ward; in the psychiatric hospital everybody opens their own ward only.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from typing import Final

from cloister.demo.words import WORDS
from cloister.identity import GlassPlan, HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan

BEDS_PER_WARD: Final = 14
PEOPLE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://cloister.example/demo/person")

SAINT_ROCH: Final = HospitalPlan(
    id="saint-roch",
    name="Hôpital Saint-Roch",
    kind="general",
    wards=(
        WardPlan(id="saint-roch-cardiology", name="Cardiologie", specialty="cardiology"),
        WardPlan(id="saint-roch-internal-medicine", name="Médecine interne", specialty="internal-medicine"),
        WardPlan(id="saint-roch-surgery", name="Chirurgie viscérale et orthopédique", specialty="surgery"),
        WardPlan(id="saint-roch-emergency", name="Urgences", specialty="emergency"),
    ),
)
SAINTE_ANNE: Final = HospitalPlan(
    id="sainte-anne",
    name="Hôpital Sainte-Anne-des-Bois",
    kind="psychiatric",
    wards=(
        WardPlan(id="sainte-anne-tilleuls", name="Psychiatrie adulte – Les Tilleuls", specialty="psychiatry"),
        WardPlan(id="sainte-anne-erables", name="Psychiatrie de la personne âgée – Les Érables", specialty="geriatric-psychiatry"),
    ),
)
HOSPITALS: Final = (SAINT_ROCH, SAINTE_ANNE)
# A machine: it holds no zone and reads nothing, and seals what it measures into the wards' zones.
ANALYSER: Final = ProgramPlan(
    client_id="blood-analyser",
    name="Automate de biologie",
    hospital=SAINT_ROCH.id,
    seals_into=(SAINT_ROCH.id, *(ward.id for ward in SAINT_ROCH.wards)),
)

# Two doctors, then two nurses, in the order of the wards above. (name, title, language)
_WARD_STAFF: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "saint-roch-cardiology": (
        ("Claire Vasseur", "Dr", "en"), ("Antoine Leclerc", "Dr", "fr"), ("Adèle Morel", "", "en"), ("Yanis Benali", "", "fr"),
    ),
    "saint-roch-internal-medicine": (
        ("Hélène Caron", "Dr", "fr"), ("Mathieu Roussel", "Dr", "fr"), ("Inès Lambert", "", "fr"), ("Lucas Perrin", "", "fr"),
    ),
    "saint-roch-surgery": (
        ("Philippe Garnier", "Dr", "fr"), ("Sophie Marchal", "Dr", "fr"), ("Nadia Haddad", "", "fr"), ("Thomas Olivier", "", "fr"),
    ),
    "saint-roch-emergency": (
        ("Julie Fontaine", "Dr", "fr"), ("Karim Mansouri", "Dr", "fr"), ("Manon Chevalier", "", "fr"), ("Hugo Blanchard", "", "fr"),
    ),
    "sainte-anne-tilleuls": (
        ("Marc Delorme", "Dr", "fr"), ("Aurélie Guérin", "Dr", "fr"), ("Élise Renaud", "", "en"), ("Bruno Tessier", "", "fr"),
    ),
    "sainte-anne-erables": (
        ("Isabelle Noël", "Dr", "fr"), ("François Barbier", "Dr", "fr"), ("Camille Da Silva", "", "fr"), ("Olivier Picard", "", "fr"),
    ),
}  # fmt: skip
_OFFICERS: Final = (
    ("Bénédicte Arnaud", "Dr", Role.ACCESS_OFFICER, "en"),
    ("Étienne Roche", "Dr", Role.ACCESS_OFFICER, "fr"),
    ("Sébastien Lemoine", "", Role.CERTIFICATE_OFFICER, "en"),
    ("Laure Besson", "", Role.CERTIFICATE_OFFICER, "fr"),
    ("Agnès Maillard", "", Role.PRIVACY_OFFICER, "en"),
    ("Vincent Aubry", "", Role.MANAGEMENT, "en"),
    ("Damien Colin", "", Role.IT_OPERATOR, "en"),
)
_PLAIN: Final = str.maketrans("àâäçéèêëîïôöùûüÿÉÈÀÇ", "aaaceeeeiioouuuyEEAC")


def person_id(sign_in: str) -> str:
    return str(uuid.uuid5(PEOPLE, sign_in))


def sign_in_of(name: str) -> str:
    """'Adèle Morel' signs in as 'adele.morel'."""
    given, family = name.split(" ", 1)
    return f"{given}.{family.replace(' ', '')}".translate(_PLAIN).lower()


def new_passphrase(chance: random.Random) -> str:
    """Four words and two figures, for example 'cerise-moulin-brume-digue-47'."""
    return "-".join([*(chance.choice(WORDS) for _ in range(4)), f"{chance.randrange(10, 100)}"])


def staff_of(ward: str) -> tuple[tuple[str, str, Role], ...]:
    """(person, name, role) of a ward's doctors and nurses; the person's id is also that of their Practitioner."""
    return tuple(
        (person_id(sign_in_of(name)), f"{title} {name}".strip(), Role.DOCTOR if title else Role.NURSE)
        for name, title, _ in _WARD_STAFF[ward]
    )


def demo_plan(seed: str | int) -> TrustPlan:
    """The whole demo trust. The same seed makes the same passphrases: a real start draws one at random and forgets it."""
    chance = random.Random(f"cloister-demo-passphrases/{seed}")
    people = [
        _person(name, title, Role.DOCTOR if title else Role.NURSE, hospital, ward.id, language, chance)
        for hospital in HOSPITALS
        for ward in hospital.wards
        for name, title, language in _WARD_STAFF[ward.id]
    ]
    people += [_person(name, title, role, None, None, language, chance) for name, title, role, language in _OFFICERS]
    return TrustPlan(
        name="Groupement hospitalier du Val d'Orme",
        hospitals=tuple(_with_glass(hospital) for hospital in HOSPITALS),
        people=tuple(people),
        programs=(
            *(
                ProgramPlan(client_id=client, name=name, hospital=hospital.id, zones=(hospital.id, *(ward.id for ward in hospital.wards)))
                for client, name, hospital in (
                    ("lab-gateway", "Passerelle du laboratoire", SAINT_ROCH),
                    ("sainte-anne-gateway", "Passerelle de Sainte-Anne-des-Bois", SAINTE_ANNE),
                )
            ),
            ANALYSER,
        ),
    )


def _person(
    name: str, title: str, role: Role, hospital: HospitalPlan | None, ward: str | None, language: str, chance: random.Random
) -> PersonPlan:
    sign_in = sign_in_of(name)
    zones: tuple[str, ...] = ()
    if hospital is not None and ward is not None:
        # The ward comes first: it is the home zone, where what this person creates is placed.
        zones = (ward, hospital.id) if role is Role.DOCTOR and hospital.kind == "general" else (ward,)
    return PersonPlan(
        id=person_id(sign_in),
        sign_in=sign_in,
        name=f"{title} {name}".strip(),
        role=role,
        hospital=hospital.id if hospital else None,
        zones=zones,
        language=language,
        passphrase=new_passphrase(chance),
    )


def _with_glass(hospital: HospitalPlan) -> HospitalPlan:
    """Break-glass: doctors may ask. The emergency ward needs nobody's word, other wards one colleague's, psychiatry two."""
    wards = tuple(replace(ward, glass=_glass(hospital, (ward.id,))) for ward in hospital.wards)
    return replace(hospital, wards=wards, glass=_glass(hospital, tuple(ward.id for ward in hospital.wards)))


def _glass(hospital: HospitalPlan, wards: tuple[str, ...]) -> GlassPlan:
    psychiatric = hospital.kind == "psychiatric"
    if wards == ("saint-roch-emergency",):
        return GlassPlan(approvers=0, askers=_doctors(*_WARD_STAFF))
    pool = _doctors(*(ward.id for ward in hospital.wards)) if psychiatric else _doctors(*wards)
    return GlassPlan(approvers=2 if psychiatric else 1, askers=_doctors(*_WARD_STAFF), pool=pool)


def _doctors(*wards: str) -> tuple[str, ...]:
    return tuple(person_id(sign_in_of(name)) for ward in wards for name, title, _ in _WARD_STAFF[ward] if title)


def first_program_of(plan: TrustPlan, hospital: str) -> ProgramPlan:
    return next(program for program in plan.programs if program.hospital == hospital)
