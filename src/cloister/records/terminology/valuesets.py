"""Value sets: whether a code is in one, and which codes are. Spec: http://hl7.org/fhir/R4/valueset.html#composition.

A code is in a value set when one of its includes has it and none of its excludes has: an include has a code when its system,
its list or all its filters have it, and so have all the value sets that it imports. What cannot be told, because a code
system is not loaded, is said (Member.UNKNOWN), and never taken for a no.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.base.errors import Invalid, NotFound
from cloister.records.terminology.codesystem import CodeSystem
from cloister.records.terminology.filters import Passes, filters_of
from cloister.records.terminology.grammars import GRAMMARS, UCUM
from cloister.records.terminology.library import Absent, Library

NESTED_MAX: Final = 20
CONSIDERED_MAX: Final = 2_000_000  # concepts looked at for one expansion
KEPT_MAX: Final = 256
IMPLICIT: Final = "?fhir_vs"


class Member(StrEnum):
    """Whether a code is in a value set."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Concept:
    """A code of an expansion. `number` is its place in `of`, the loaded code system; None where that is not loaded."""

    system: str
    code: str
    display: str = ""
    of: CodeSystem | None = None
    number: int | None = None
    listed: dict[str, Any] | None = None  # compose.include.concept, with its designations

    @property
    def inactive(self) -> bool:
        return self.of is not None and self.number is not None and self.of.inactive(self.number)

    @property
    def abstract(self) -> bool:
        return self.of is not None and self.number is not None and self.of.abstract(self.number)


class Include:
    """One include or exclude, read once: its codes or its filters are ready to be asked."""

    def __init__(self, library: Library, given: dict[str, Any]) -> None:
        self.system = str(given.get("system", ""))
        version = given.get("version")
        self.canonical = f"{self.system}|{version}" if version else self.system
        self.value_sets = [str(one) for one in given.get("valueSet", ())]
        self.listed = {str(one["code"]): one for one in given["concept"] if "code" in one} if "concept" in given else None
        self.filters = given.get("filter", [])
        self._library = library
        self._passes: list[Passes] | None = None

    def code_system(self) -> CodeSystem | None:
        """The loaded code system; None when it is not, or is no list of all its codes."""
        for canonical in (self.canonical, self.system):  # another version of a system is better than none
            if self._library.has("CodeSystem", canonical):
                return self._library.code_system(canonical)
        return None

    def passes(self, of: CodeSystem) -> list[Passes]:
        if self._passes is None:
            try:
                self._passes = filters_of(of, self.filters)
            except Invalid:
                if not of.complete:  # a part of a code system: what the filter names may be in the rest
                    raise Absent("CodeSystem", self.canonical) from None
                raise
        return self._passes

    def has(self, system: str, code: str) -> Member:
        """Whether the system, the list and the filters of this include have a code; value sets are asked elsewhere."""
        if self.system and system and system != self.system:
            return Member.NO
        if not self.system:
            return Member.YES
        if self.listed is not None:
            return Member.YES if code in self.listed else self._listed_folded(code)
        grammar = GRAMMARS.get(self.system)
        if grammar is not None and not self.filters:
            return Member.YES if grammar(code) else Member.NO
        of = self.code_system()
        number = of.find(code) if of is not None else None
        if of is None or number is None:
            return Member.NO if of is not None and of.complete else Member.UNKNOWN
        return Member.YES if all(one(number) for one in self.passes(of)) else Member.NO

    def _listed_folded(self, code: str) -> Member:
        of = self.code_system()
        if of is None or of.head.get("caseSensitive", True):
            return Member.NO
        return Member.YES if code.casefold() in {one.casefold() for one in self.listed or ()} else Member.NO

    def concepts(self, words: str = "") -> Iterator[Concept]:
        """Every code of the system, the list or the filters, in order. Of a system only those that hold the words, if any."""
        of = self.code_system()
        if self.listed is not None:
            for code, one in self.listed.items():
                number = of.find(code) if of is not None else None
                display = str(one.get("display", "")) or (of.display(number) if of is not None and number is not None else "")
                yield Concept(self.system, code, display, of, number, one)
            return
        if self.system in GRAMMARS:
            raise _not_listable(self.system)
        if of is None:
            raise Absent("CodeSystem", self.canonical)
        if not of.complete and not of.count:
            raise Absent("CodeSystem", self.canonical)
        passes = self.passes(of)
        for number in self._named(of, words) if words else range(of.count):
            if all(one(number) for one in passes):
                yield Concept(self.system, of.code(number), of.display(number), of, number)

    def _named(self, of: CodeSystem, words: str) -> list[int]:
        """The concepts that the code system itself, or a supplement, calls so."""
        found = set(of.named(words))
        for supplement in self._library.supplements(self.system):
            numbers = (of.find(supplement.code(number)) for number in supplement.named(words))
            found.update(number for number in numbers if number is not None)
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Composed:
    """A value set, read: includes and excludes, or the expansion that it carries where it tells no composition."""

    resource: dict[str, Any]
    includes: tuple[Include, ...]
    excludes: tuple[Include, ...]
    inactive: bool


class ValueSets:
    """The value sets of a library, asked one code or listed whole."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._read: OrderedDict[str, Composed] = OrderedDict()

    def composed(self, canonical: str) -> Composed:
        """Raises Absent when it is not loaded."""
        kept = self._read.get(canonical)
        if kept is None:
            resource = self._implicit(canonical) or self.library.resource("ValueSet", canonical)
            kept = self._read[canonical] = self.read(resource)
            while len(self._read) > KEPT_MAX:
                self._read.popitem(last=False)
        return kept

    def read(self, resource: dict[str, Any]) -> Composed:
        compose = resource.get("compose")
        if compose is None:
            carried: dict[str, dict[str, Any]] = {}
            for one in _flat(resource.get("expansion", {}).get("contains", ())):
                if "code" in one and not one.get("abstract"):
                    carried.setdefault(one.get("system", ""), {"system": one.get("system", ""), "concept": []})["concept"].append(one)
            return Composed(resource, tuple(Include(self.library, one) for one in carried.values()), (), True)
        includes = tuple(Include(self.library, one) for one in compose.get("include", ()))
        excludes = tuple(Include(self.library, one) for one in compose.get("exclude", ()))
        return Composed(resource, includes, excludes, bool(compose.get("inactive", True)))

    def _implicit(self, canonical: str) -> dict[str, Any] | None:
        """A value set that is told by its address: all codes of a system, or those under one (terminologies-systems.html)."""
        url, _, asked = canonical.partition(IMPLICIT)
        if asked or IMPLICIT in canonical:
            found = asked.removeprefix("=")
            include: dict[str, Any] = {"system": url}
            if found.startswith("isa/"):
                include["filter"] = [{"property": "concept", "op": "is-a", "value": found[4:]}]
            elif found:
                raise Invalid("This implicit value set is not offered.", hint="Use ?fhir_vs or ?fhir_vs=isa/[code].", expression="url")
            return {"resourceType": "ValueSet", "url": canonical, "status": "active", "compose": {"include": [include]}}
        if self.library.has("ValueSet", canonical):
            return None
        system = self.library.system_of(canonical.partition("|")[0])
        if system is None:
            return None
        return {"resourceType": "ValueSet", "url": canonical, "status": "active", "compose": {"include": [{"system": system}]}}

    # --- one code ---------------------------------------------------------------------------------------------------

    def has(self, value_set: Composed, system: str, code: str, within: tuple[str, ...] = ()) -> Member:
        """Whether a code is in a value set. Without a system it is looked for in every system that the value set has."""
        found = Member.NO
        for include in value_set.includes:
            one = self._included(include, system, code, within)
            if one is Member.YES:
                found = one
                break
            found = one if one is Member.UNKNOWN else found
        if found is not Member.NO:
            for exclude in value_set.excludes:
                one = self._included(exclude, system, code, within)
                if one is not Member.NO:
                    return Member.NO if one is Member.YES else Member.UNKNOWN
        return found

    def _included(self, include: Include, system: str, code: str, within: tuple[str, ...]) -> Member:
        found = include.has(system, code)
        for canonical in include.value_sets:
            if found is Member.NO:
                break
            one = self._imported(canonical, system, code, within)
            found = one if one is not Member.YES else found
        return found

    def _imported(self, canonical: str, system: str, code: str, within: tuple[str, ...]) -> Member:
        return self.has(self.composed(canonical), system, code, deeper(within, canonical))

    def systems(self, value_set: Composed, within: tuple[str, ...] = ()) -> list[str]:
        """The systems whose codes a value set may have."""
        found: dict[str, None] = {}
        for include in value_set.includes:
            if include.system:
                found[include.system] = None
            else:
                for canonical in include.value_sets[:1]:
                    found.update(dict.fromkeys(self.systems(self.composed(canonical), deeper(within, canonical))))
        return list(found)

    # --- all codes --------------------------------------------------------------------------------------------------

    def concepts(self, value_set: Composed, within: tuple[str, ...] = (), *, words: str = "") -> Iterator[Concept]:
        """Every code of a value set, once, in order. Raises Absent, or Invalid with reason 'too-costly'.

        `words` leaves out what surely does not hold them; lists may still have others.
        """
        seen: set[tuple[str, str]] = set()
        considered = 0
        for include in value_set.includes:
            imported = include.value_sets
            if include.system:
                listed = include.concepts(words)
            elif imported:
                listed, imported = self._listed(imported[0], within, words), imported[1:]
            else:
                continue
            for concept in listed:
                considered += 1
                if considered > CONSIDERED_MAX:
                    raise too_costly()
                key = (concept.system, concept.code)
                if key not in seen and self._stays(value_set, concept, imported, within):
                    seen.add(key)
                    yield concept

    def _listed(self, canonical: str, within: tuple[str, ...], words: str) -> Iterator[Concept]:
        return self.concepts(self.composed(canonical), deeper(within, canonical), words=words)

    def _stays(self, value_set: Composed, concept: Concept, imported: list[str], within: tuple[str, ...]) -> bool:
        if any(self._imported(one, concept.system, concept.code, within) is not Member.YES for one in imported):
            return False
        if not value_set.inactive and concept.inactive:
            return False
        return not any(self._included(one, concept.system, concept.code, within) is Member.YES for one in value_set.excludes)


def deeper(within: tuple[str, ...], canonical: str) -> tuple[str, ...]:
    """The value sets that one stands inside of; raises Invalid when it stands inside itself, or too deep."""
    if canonical in within:
        text = f"The value set {canonical[:200]} includes itself."
        raise Invalid(text, hint="Correct its composition: a value set cannot be made of itself.", reason="cycle")
    if len(within) >= NESTED_MAX:
        text = f"Value sets are nested more than {NESTED_MAX} deep here."
        raise Invalid(text, hint="Compose it of fewer levels.", reason="too-costly")
    return (*within, canonical)


def too_costly() -> Invalid:
    return Invalid(
        "This value set is too large to be listed at once.",
        hint="Ask for a page (count, offset), or for what matches a text (filter).",
        reason="too-costly",
    )


def _not_listable(system: str) -> NotFound:
    what = "UCUM has no end of units" if system == UCUM else f"The codes of {system} are a grammar"
    return NotFound(f"{what}: they can be checked and not listed.", hint="Ask $validate-code about one code.", reason="not-listable")


def _flat(contains: Any) -> Iterator[dict[str, Any]]:
    for one in contains:
        yield one
        yield from _flat(one.get("contains", ()))
