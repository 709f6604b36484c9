"""$lookup, $validate-code and $subsumes: questions about single codes, answered from the library.

Spec: http://hl7.org/fhir/R4/codesystem-operation-lookup.html, codesystem-operation-validate-code.html,
codesystem-operation-subsumes.html, valueset-operation-validate-code.html. Answers are Parameters; what is wrong with a code is
an answer too (result false), and only what cannot be told is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Invalid, NotFound
from cloister.records.search.fold import fold
from cloister.records.terminology.codesystem import CodeSystem
from cloister.records.terminology.grammars import GRAMMARS, NAMES
from cloister.records.terminology.library import Absent, Library
from cloister.records.terminology.naming import designations, display, properties
from cloister.records.terminology.valuesets import Composed, Concept, Member, ValueSets

Parameters = dict[str, Any]
FAMILY: Final = frozenset({"parent", "child", "inactive"})  # told from what they led to, not from what was sent


@dataclass(frozen=True, slots=True)
class Coded:
    """A code that is asked about. `display` is checked where it is given."""

    system: str
    code: str
    version: str = ""
    display: str = ""

    @property
    def canonical(self) -> str:
        return f"{self.system}|{self.version}" if self.version else self.system


def parameters(parts: Sequence[Parameters]) -> Parameters:
    return {"resourceType": "Parameters", "parameter": list(parts)}


def located(library: Library, coded: Coded) -> Concept:
    """The concept of a code. Raises NotFound for a code that does not exist, Absent for a system that is not loaded."""
    grammar = GRAMMARS.get(coded.system)
    if grammar is not None:
        if not grammar(coded.code):
            raise _unknown_code(coded)
        return Concept(coded.system, coded.code, coded.code)
    of = library.code_system(coded.canonical)
    number = of.find(coded.code)
    if number is None:
        if not of.complete:
            raise Absent("CodeSystem", coded.canonical)
        raise _unknown_code(coded)
    return Concept(coded.system, of.code(number), of.display(number), of, number)


def _unknown_code(coded: Coded) -> NotFound:
    text = f"{coded.system} has no code '{coded.code[:80]}'."
    return NotFound(text, hint="Correct the code; mind upper and lower case.", reason="unknown-code", expression="code")


# --- $lookup --------------------------------------------------------------------------------------------------------


def lookup(library: Library, coded: Coded, *, language: str = "", wanted: frozenset[str] = frozenset()) -> Parameters:
    """Name, definition, further names, properties, parents and children of a code; `wanted` names the parts to give."""
    concept = located(library, coded)
    of, number = concept.of, concept.number
    name = str(of.head.get("title") or of.head.get("name") or of.url) if of is not None else NAMES[coded.system]
    parts: list[Parameters] = [{"name": "name", "valueString": name}]
    if of is not None and of.version:
        parts.append({"name": "version", "valueString": of.version})
    parts.append({"name": "display", "valueString": display(library, concept, language) or concept.code})
    if of is None or number is None:
        return parameters(parts)
    detail = of.detail(number)
    if "definition" in detail and (not wanted or "definition" in wanted):
        parts.append({"name": "definition", "valueString": detail["definition"]})
    if not wanted or "designation" in wanted:
        parts += [_designation(one) for one in designations(library, concept)]
    for one in properties(library, concept):
        if one.get("code") not in FAMILY and (not wanted or one.get("code") in wanted):
            parts.append(_property(str(one.get("code", "")), {key: value for key, value in one.items() if key.startswith("value")}))
    for kind, numbers in (("parent", of.parents(number)), ("child", of.children(number))):
        if not wanted or kind in wanted:
            parts += [_property(kind, {"valueCode": of.code(one)}, of.display(one)) for one in numbers]
    if not wanted or "inactive" in wanted:
        parts.append(_property("inactive", {"valueBoolean": of.inactive(number)}))
    return parameters(parts)


def _designation(one: Parameters) -> Parameters:
    parts: list[Parameters] = [{"name": "language", "valueCode": one["language"]}] if one.get("language") else []
    if "use" in one:
        parts.append({"name": "use", "valueCoding": one["use"]})
    return {"name": "designation", "part": [*parts, {"name": "value", "valueString": one.get("value", "")}]}


def _property(code: str, value: dict[str, Any], described: str = "") -> Parameters:
    parts: list[Parameters] = [{"name": "code", "valueCode": code}, *({"name": "value", key: one} for key, one in value.items())]
    if described:
        parts.append({"name": "description", "valueString": described})
    return {"name": "property", "part": parts}


# --- $validate-code -------------------------------------------------------------------------------------------------


def valid_in_system(library: Library, coded: Coded, *, language: str = "") -> Parameters:
    """Whether a code system has a code, and calls it so. Raises Absent when the system is not loaded."""
    try:
        concept = located(library, coded)
    except NotFound as unknown:
        return _no(unknown.text)
    return _named(library, coded, concept, language)


def valid_in_set(
    value_sets: ValueSets, value_set: Composed, given: Sequence[Coded], *, language: str = "", infer: bool = False, abstract: bool = True
) -> Parameters:
    """Whether one of the codes (of a CodeableConcept, or the only one) is in a value set. Raises Absent when that cannot be told."""
    unknown: Absent | None = None
    address = str(value_set.resource.get("url", "")) or "the value set"
    for coded in given:
        coded = inferred(value_sets, value_set, coded) if infer and not coded.system else coded
        if not coded.system and not infer:
            continue
        found = value_sets.has(value_set, coded.system, coded.code)
        if found is Member.UNKNOWN:
            unknown = Absent("CodeSystem", coded.canonical)
        elif found is Member.YES:
            concept = _listed(value_sets, value_set, coded)
            if concept.abstract and not abstract:
                return _no(f"'{coded.code[:80]}' is abstract: it groups codes and is not one to be used.")
            return _named(value_sets.library, coded, concept, language)
    if unknown is not None:
        raise unknown
    if not any(one.system for one in given) and not infer:
        return _no("The code has no system, so it is in no value set.")
    codes = ", ".join(f"{one.system}#{one.code[:80]}" for one in given[:5])
    return _no(f"{address} does not have {codes}.")


def inferred(value_sets: ValueSets, value_set: Composed, coded: Coded) -> Coded:
    """The code with the one system of the value set that has it; unchanged when none or several have."""
    systems = [one for one in value_sets.systems(value_set) if value_sets.has(value_set, one, coded.code) is Member.YES]
    return Coded(systems[0], coded.code, coded.version, coded.display) if len(systems) == 1 else coded


def _listed(value_sets: ValueSets, value_set: Composed, coded: Coded) -> Concept:
    """The concept as the value set lists it, whose own display counts too."""
    for include in value_set.includes:
        if include.system == coded.system and include.listed is not None and coded.code in include.listed:
            one = include.listed[coded.code]
            of = include.code_system()
            number = of.find(coded.code) if of is not None else None
            own = of.display(number) if of is not None and number is not None else ""
            return Concept(coded.system, coded.code, str(one.get("display", "")) or own, of, number, one)
    try:
        return located(value_sets.library, Coded(coded.system, coded.code))
    except (Absent, NotFound):
        return Concept(coded.system, coded.code)


def _named(library: Library, coded: Coded, concept: Concept, language: str) -> Parameters:
    """Yes, unless the code is called what it is not called."""
    name = display(library, concept, language)
    if coded.display and name:
        own = concept.of.display(concept.number) if concept.of is not None and concept.number is not None else ""
        names = {fold(one) for one in (name, concept.display, own, *(str(d.get("value", "")) for d in designations(library, concept)))}
        if fold(coded.display) not in names:
            answer = _no(f"'{concept.code[:80]}' is not called that; it is called '{name[:200]}'.")
            answer["parameter"].append({"name": "display", "valueString": name})
            return answer
    parts: list[Parameters] = [{"name": "result", "valueBoolean": True}]
    if name:
        parts.append({"name": "display", "valueString": name})
    parts += [{"name": "code", "valueCode": concept.code}, {"name": "system", "valueUri": concept.system}]
    if concept.of is not None and concept.of.version:
        parts.append({"name": "version", "valueString": concept.of.version})
    if concept.inactive:
        parts.append({"name": "inactive", "valueBoolean": True})
    return parameters(parts)


def _no(text: str) -> Parameters:
    return parameters([{"name": "result", "valueBoolean": False}, {"name": "message", "valueString": text}])


# --- $subsumes ------------------------------------------------------------------------------------------------------


def subsumes(library: Library, one: Coded, other: Coded) -> Parameters:
    """How two codes of one system stand to each other. Raises NotFound for an unknown code, Absent, Invalid across systems."""
    if one.system != other.system:
        raise Invalid("The two codes are of different systems.", hint="Ask about two codes of one system.", expression="codingB")
    first, second = located(library, one), located(library, other)
    return parameters([{"name": "outcome", "valueCode": _relation(first.of, first.number, second.number, first.code == second.code)}])


def _relation(of: CodeSystem | None, first: int | None, second: int | None, same: bool) -> str:
    if same:
        return "equivalent"
    if of is None or first is None or second is None:
        return "not-subsumed"
    if of.is_under(second, first):
        return "subsumes"
    return "subsumed-by" if of.is_under(first, second) else "not-subsumed"
