"""What a trust is before it is founded: hospitals, wards, people and programs, and who opens which zone.

A plan is the input of the founding ceremony (assemble/founding.py). It holds no key; a passphrase only
where somebody has chosen one beforehand. A zone's id is the id of its hospital or ward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cloister.base.errors import Invalid
from cloister.identity.sign_in import normalised

NAME_CHARACTERS_MAX: Final = 64  # ub-common-name, RFC 5280 appendix A.1: names stand in certificates
PASSPHRASE_CHARACTERS_MIN: Final = 12
HOSPITAL_KINDS: Final = frozenset({"general", "psychiatric"})


class Role(StrEnum):
    """What a person is in the trust; a role alone opens nothing, zones do."""

    DOCTOR = "doctor"
    NURSE = "nurse"
    ACCESS_OFFICER = "access-officer"
    CERTIFICATE_OFFICER = "certificate-officer"
    PRIVACY_OFFICER = "privacy-officer"
    MANAGEMENT = "management"
    IT_OPERATOR = "it-operator"
    PROGRAM = "program"


CLINICAL_ROLES: Final = frozenset({Role.DOCTOR, Role.NURSE})


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassPlan:
    """Who may open a zone in need, how many colleagues must agree, for how long. Askers and pool are ids of people."""

    approvers: int
    askers: tuple[str, ...]
    pool: tuple[str, ...] = ()
    seconds: int = 3600
    right: str = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class WardPlan:
    """One ward; its zone has the same id, for example 'saint-roch-cardiology'."""

    id: str
    name: str
    specialty: str
    glass: GlassPlan | None = None  # without it nobody opens this zone in need


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalPlan:
    """One hospital and its wards; `kind` is 'general' or 'psychiatric'."""

    id: str
    name: str
    kind: str
    wards: tuple[WardPlan, ...]
    glass: GlassPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPlan:
    """One person. `zones` are ids of hospitals and wards, granted to read and write.

    `hospital` is None for somebody of the whole trust. Without a passphrase the ceremony makes one up.
    """

    id: str
    sign_in: str
    name: str
    role: Role
    hospital: str | None
    zones: tuple[str, ...] = ()
    language: str = "en"
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramPlan:
    """One program that signs in with OAuth 2 client credentials (RFC 6749, 4.4).

    Into `seals_into` it may seal what it measured; it reads nothing there.
    """

    client_id: str
    name: str
    hospital: str
    zones: tuple[str, ...] = ()
    seals_into: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPlan:
    name: str
    hospitals: tuple[HospitalPlan, ...]
    people: tuple[PersonPlan, ...]
    programs: tuple[ProgramPlan, ...] = ()
    id: str = ""  # empty: the ceremony makes one that no other trust has

    @property
    def zones(self) -> tuple[str, ...]:
        """Ids of all zones: each hospital, then its wards."""
        return tuple(zone for one in self.hospitals for zone in (one.id, *(ward.id for ward in one.wards)))

    def officers(self, role: Role) -> tuple[PersonPlan, ...]:
        return tuple(person for person in self.people if person.role is role)

    def check(self) -> None:
        """Raises Invalid, naming what cannot be founded as planned."""
        _check_offices(self)
        _check_once("zone", self.zones)
        _check_once("person", [*(person.id for person in self.people), *(program.client_id for program in self.programs)])
        sign_ins = [normalised(name) for name in (*(p.sign_in for p in self.people), *(p.client_id for p in self.programs))]
        _check_once("sign-in name", sign_ins)
        staff: tuple[PersonPlan | ProgramPlan, ...] = (*self.people, *self.programs)
        for name in (self.name, *(one.name for one in self.hospitals), *(one.name for one in staff)):
            if not 0 < len(name) <= NAME_CHARACTERS_MAX:
                raise Invalid(f"The name '{name[:80]}' cannot stand in a certificate.", hint=f"Use 1 to {NAME_CHARACTERS_MAX} characters.")
        for hospital in self.hospitals:
            if hospital.kind not in HOSPITAL_KINDS:
                raise Invalid(f"Hospital {hospital.id} is of kind '{hospital.kind}'.", hint="Use 'general' or 'psychiatric'.")
        for one in staff:
            _check_place(self, one)
        clinicians = {person.id for person in self.people if person.role in CLINICAL_ROLES}
        places: list[HospitalPlan | WardPlan] = [*self.hospitals, *(ward for one in self.hospitals for ward in one.wards)]
        for zone in places:
            _check_glass(zone.id, zone.glass, clinicians)


def _check_offices(plan: TrustPlan) -> None:
    certifying, granting = plan.officers(Role.CERTIFICATE_OFFICER), plan.officers(Role.ACCESS_OFFICER)
    if not certifying or not granting:
        raise Invalid("A trust needs a certificate officer and an access officer.", hint="Add whoever is missing to the plan.")
    for known_by in ("id", "sign_in"):
        both = {getattr(one, known_by) for one in certifying} & {getattr(one, known_by) for one in granting}
        if both:
            raise Invalid(
                f"{sorted(both)[0]} would both certify and grant.", hint="Give the two offices to two people.", reason="both-offices"
            )


def _check_glass(zone: str, glass: GlassPlan | None, clinicians: set[str]) -> None:
    if glass is None:
        return
    if not {*glass.askers, *glass.pool} <= clinicians:
        raise Invalid(f"Somebody who is no doctor or nurse of the plan has a part in opening {zone} in need.", hint="Name clinicians.")
    if not 0 <= glass.approvers <= 2 or any(len(set(glass.pool) - {asker}) < glass.approvers for asker in glass.askers):
        raise Invalid(f"Too few colleagues could agree to opening {zone} in need.", hint="Let 0, 1 or 2 of a larger pool agree.")


def _check_once(what: str, ids: Iterable[str]) -> None:
    for name, times in Counter(ids).items():
        if times > 1 or not name:
            raise Invalid(f"The {what} '{name[:80]}' is in the plan {times} times.", hint="Give each its own.")


def _check_place(plan: TrustPlan, one: PersonPlan | ProgramPlan) -> None:
    missing = {*one.zones, *(one.seals_into if isinstance(one, ProgramPlan) else ())} - set(plan.zones)
    if missing:
        raise Invalid(f"{one.name} is to open zone '{sorted(missing)[0]}', which is not planned.", hint="Add it, or correct its name.")
    if one.hospital is not None and one.hospital not in {hospital.id for hospital in plan.hospitals}:
        raise Invalid(f"{one.name} works in hospital '{one.hospital}', which is not planned.", hint="Add it, or correct its name.")
    _check_once("zone of one person", one.zones)
    if isinstance(one, ProgramPlan):
        return
    if one.role is Role.PROGRAM:
        raise Invalid(f"{one.name} is planned as a person with the role of a program.", hint="Plan it as a program.")
    if one.zones and one.role not in CLINICAL_ROLES:
        raise Invalid(f"{one.name} is {one.role} and opens no zone.", hint="Leave the zones out.", reason="office-with-zone")
    if one.passphrase is not None and len(one.passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise Invalid(f"The passphrase of {one.name} is too short.", hint=f"Use {PASSPHRASE_CHARACTERS_MIN} characters or more.")
