"""What a trust is before it is founded: hospitals, wards, people and programs, and who opens which zone.

A plan is the input of the founding ceremony (assemble/founding.py). It holds no key; a passphrase only
where somebody has chosen one beforehand. A zone's id is the id of its hospital or ward.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a person is in the trust; a role alone opens nothing, zones do."""

    DOCTOR = "doctor"
    NURSE = "nurse"
    ACCESS_OFFICER = "access-officer"
    CERTIFICATE_OFFICER = "certificate-officer"
    IT_OPERATOR = "it-operator"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class WardPlan:
    """One ward; its zone has the same id, for example 'saint-roch-cardiology'."""

    id: str
    name: str
    specialty: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalPlan:
    """One hospital and its wards; `kind` is 'general' or 'psychiatric'."""

    id: str
    name: str
    kind: str
    wards: tuple[WardPlan, ...]


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
    """One program that signs in with OAuth 2 client credentials (RFC 6749, 4.4)."""

    client_id: str
    name: str
    hospital: str
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPlan:
    name: str
    hospitals: tuple[HospitalPlan, ...]
    people: tuple[PersonPlan, ...]
    programs: tuple[ProgramPlan, ...] = ()
    id: str = ""  # empty: the ceremony makes one that no other trust has
