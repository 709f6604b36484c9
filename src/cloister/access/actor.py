"""Who asks, what about, and what a decision gives back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cloister.access.kinds import Page

PAGE: Final = "page"  # Facts.kind of a screen
PROGRAM: Final = "program"  # Facts.kind of a published program: only a trust's own rules ask about it
ESTATE: Final = "estate"  # Facts.kind of what the administrator looks at: rows as the database holds them


class Action(StrEnum):
    """What is asked. READ and WRITE also stand for the group of the finer actions below them."""

    READ = "read"
    VREAD = "vread"
    SEARCH = "search"
    HISTORY = "history"
    VIEW = "view"
    WRITE = "write"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    LOOK_CIPHERTEXT = "look-ciphertext"


class Purpose(StrEnum):
    """Why, in the codes of v3 PurposeOfUse."""

    TREATMENT = "TREAT"
    OPERATIONS = "HOPERAT"


class Compartment(StrEnum):
    NORMAL = "normal"
    PSYCHIATRY = "psychiatry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One signed-in person or program, in one session."""

    person: str
    name: str
    role: str
    hospital: str | None
    session: str
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the decision is about: a FHIR resource type, 'page', 'program' or 'estate'; never an id or a value of a patient."""

    kind: str
    zones: frozenset[str] = frozenset()
    compartment: str = Compartment.NORMAL
    purpose: str = Purpose.TREATMENT
    page: str = Page.START
    program: str = ""  # the name of a published program

    @property
    def what(self) -> str:
        return str(self.page if self.kind == PAGE else self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A decision that was taken in favour; `rules` are the policies that said so. It opens nothing without a key."""

    role: str
    action: str
    kind: str
    purpose: str
    rules: tuple[str, ...]
