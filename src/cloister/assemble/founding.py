"""The founding ceremony: two roots, two offices, everybody's keys and first grants. Spec: docs/spec/zones.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cloister.identity import HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan

__all__ = ["Founded", "HospitalPlan", "PersonPlan", "ProgramPlan", "ProgramSignIn", "PersonSignIn", "Progress", "Role", "TrustPlan", "WardPlan"]

Progress = Callable[[str, int, int], None]  # what is being made, how many are done, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSignIn:
    """What is printed once for a person."""

    person: str
    sign_in: str
    passphrase: str = field(repr=False)
    name: str
    role: Role
    hospital: str | None
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSignIn:
    """What is printed once for a program."""

    client_id: str
    client_secret: str = field(repr=False)
    name: str
    hospital: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """What the ceremony hands out; the passphrases of the two roots are shown once and kept on paper."""

    trust: str
    people: tuple[PersonSignIn, ...]
    programs: tuple[ProgramSignIn, ...]
    certificate_root_passphrase: str = field(repr=False)
    access_root_passphrase: str = field(repr=False)
