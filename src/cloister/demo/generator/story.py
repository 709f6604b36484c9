"""What happens to a patient: one reason to be in hospital, and everything that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A reason for care. Texts know {who}, {age}, {she} and {day}; all were written for this demonstration."""

    diagnosis: str  # ICD-10
    wards: tuple[str, ...]  # specialties
    ages: tuple[int, int]
    sex: str = ""  # "female", "male" or both
    days: tuple[int, int]  # length of the stay
    before: tuple[str, ...]  # long-standing problems that often go with it
    drugs: tuple[str, ...]  # ATC, during the stay
    labs: tuple[str, ...]
    # laboratory value at admission (low, high); it moves towards normal until discharge
    ill: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # pulse, breaths, saturation, temperature, systolic at admission where they are not ordinary
    signs: Mapping[str, float] = field(default_factory=dict)
    pain: int = 0
    reason: str
    admission: str
    evolution: tuple[str, ...]
    nursing: tuple[str, ...]
    discharge: str
    operation: tuple[str, str] | None = None  # (what was done, report)
    legal: tuple[str, ...] = ()  # texts about the legal status, psychiatry only
