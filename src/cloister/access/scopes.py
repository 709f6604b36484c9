"""What a client's token permits at most: SMART scopes, read and asked. They narrow a decision and never widen one.

Spec: HL7 SMART App Launch 2.2, "Scopes for requesting FHIR resources"; version 1 scopes (`.read`, `.write`, `.*`) mean the
letters of version 2. A scope with search parameters (`?category=...`) is not offered, so it is not granted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloister.access.actor import PAGE, Action, Actor, Facts, Permit
from cloister.access.kinds import GROUPS, RESOURCE_TYPES, Group
from cloister.access.policy import Policy
from cloister.access.reason import Reason
from cloister.base.errors import Denied, Invalid

LETTERS: Final = "cruds"
FIRST_VERSION: Final = {"read": "rs", "write": "cud", "*": LETTERS}
LEVELS: Final = ("system", "user", "patient")
SCOPES_MAX: Final = 200
SCOPE_CHARACTERS_MAX: Final = 4096
# The history of a type tells what a search would, so it takes both letters wherever it is asked for.
LETTERS_OF: Final = {
    Action.READ: "r",
    Action.VREAD: "r",
    Action.VIEW: "r",
    Action.SEARCH: "s",
    Action.HISTORY: "rs",
    Action.CREATE: "c",
    Action.UPDATE: "u",
    Action.DELETE: "d",
}
_SCOPE: Final = re.compile(r"(system|user|patient)/(\*|[A-Z][A-Za-z]{1,60})\.(read|write|\*|c?r?u?d?s?)")
# RFC 6749 3.3: %x21 / %x23-5B / %x5D-7E, parted by single spaces
_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One scope for one resource type, or for all ('*')."""

    level: str
    kind: str
    letters: str

    def __str__(self) -> str:
        return f"{self.level}/{self.kind}.{self.letters}"


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token permits; and beside it words that are no resource scopes, such as `launch/patient` or `openid`."""

    resources: tuple[Scope, ...] = ()
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([*self.words, *map(str, self.resources)])

    def letters(self, kind: str) -> str:
        """What may be done to this type, in the order 'cruds'."""
        found = {letter for one in self.resources if one.kind in ("*", kind) for letter in one.letters}
        return "".join(letter for letter in LETTERS if letter in found)

    @property
    def whole(self) -> bool:
        """Nothing is left out, so nothing needs to be asked."""
        return self.letters("*") == LETTERS

    def of_level(self, *levels: str) -> Scopes:
        return Scopes(tuple(one for one in self.resources if one.level in levels), self.words)

    def within(self, most: Scopes) -> Scopes:
        """Of these, what `most` also permits; levels stay as they were asked for."""
        kept = []
        for one in self.resources:
            if one.kind == "*":
                kept += [Scope(one.level, "*", _both(one.letters, most.letters("*")))]
                kept += [Scope(one.level, kind, _both(one.letters, most.letters(kind))) for kind in most.kinds()]
            else:
                kept.append(Scope(one.level, one.kind, _both(one.letters, most.letters(one.kind))))
        return Scopes(_tidied(kept), tuple(word for word in self.words if word in most.words))

    def kinds(self) -> list[str]:
        return sorted({one.kind for one in self.resources} - {"*"})


def read_scopes(text: str) -> Scopes:
    """The scopes in a request; what is not offered is left out. Invalid when the text is no list of scopes (RFC 6749 3.3)."""
    parts = [part for part in text.split(" ") if part]
    if len(text) > SCOPE_CHARACTERS_MAX or len(parts) > SCOPES_MAX or not all(_TOKEN.fullmatch(part) for part in parts):
        raise Invalid("This is no list of scopes.", hint="Write scopes parted by spaces, such as system/Patient.rs.", reason="scope")
    resources, words = [], []
    for part in parts:
        found = _SCOPE.fullmatch(part)
        if found is None:
            if "/" not in part or part.startswith("launch/"):
                words.append(part)
        elif (found[2] == "*" or found[2] in RESOURCE_TYPES) and found[3]:
            resources.append(Scope(found[1], found[2], FIRST_VERSION.get(found[3], found[3])))
    return Scopes(_tidied(resources), tuple(dict.fromkeys(words)))


def _both(one: str, other: str) -> str:
    return "".join(letter for letter in LETTERS if letter in one and letter in other)


def _tidied(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """One for each level and type, without what '*' of the same level says already."""
    letters: dict[tuple[str, str], set[str]] = {}
    for one in scopes:
        letters.setdefault((one.level, one.kind), set()).update(one.letters)
    kept = []
    for (level, kind), found in sorted(letters.items()):
        wide = letters.get((level, "*"), set())
        if found and (kind == "*" or not found <= wide):
            kept.append(Scope(level, kind, "".join(letter for letter in LETTERS if letter in found)))
    return tuple(kept)


class Narrowed:
    """A policy behind a token: first what the scopes leave, then what the policy says. Has the same question and answer.

    `patient`: a token of one patient. Which records that opens is decided where records are opened; here only that the
    hospital's register, which is about nobody, is read and not written, and that no patient is made.
    """

    def __init__(self, policy: Policy, scopes: Scopes, *, patient: str = "") -> None:
        self._policy = policy
        self._scopes = scopes
        self.patient = patient

    def decide(self, actor: Actor, action: str, facts: Facts) -> Permit:
        if not self._leaves(action, facts.kind):
            text, hint = Reason.SCOPE_MISSING.sentence(actor.language)
            raise Denied(text, hint=hint, reason=Reason.SCOPE_MISSING, asked=(str(action), facts.what))
        return self._policy.decide(actor, action, facts)

    def check(self, actor: Actor, action: str, facts: Facts) -> None:
        self._policy.check(actor, action, facts)

    def _leaves(self, action: str, kind: str) -> bool:
        needed = LETTERS_OF.get(Action(action)) if action in set(Action) else None
        if needed is None or kind == PAGE or not set(needed) <= set(self._scopes.letters(kind)):
            return False
        if self.patient and "s" not in needed and "r" not in needed:
            return kind in GROUPS[Group.CLINICAL] and not (kind == "Patient" and "u" not in needed)
        return True
