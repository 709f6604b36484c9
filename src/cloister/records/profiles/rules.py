"""A profile as a tree of rules: an element, its parts, its slices. Made once from the stored snapshot, then only read.

Spec: http://hl7.org/fhir/R4/elementdefinition.html#interpretation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]
MANY: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TypeRule:
    """One type that an element may have; `profiles` any of which it must meet; `targets` of a reference."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Discriminator:
    kind: str  # value, pattern, type, exists, profile
    path: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """An invariant of FHIRPath; `parsed` None could not be read when the profile was loaded."""

    key: str
    error: bool
    text: str
    parsed: Json | None


@dataclass(slots=True)
class Rule:
    """What one element of a profile asks for."""

    path: str
    name: str  # the property, value[x] for a choice
    slice: str = ""
    least: int = 0
    most: int = MANY
    types: tuple[TypeRule, ...] = ()
    fixed: Any = None
    pattern: Any = None
    lowest: Any = None
    highest: Any = None
    longest: int = MANY
    binding: tuple[str, str] | None = None  # strength, address of the value set
    constraints: tuple[Constraint, ...] = ()
    sliced: bool = False
    discriminators: tuple[Discriminator, ...] = ()
    closing: str = "open"  # open, closed, openAtEnd
    ordered: bool = False
    parts: dict[str, Rule] = field(default_factory=dict)
    slices: list[Rule] = field(default_factory=list)
    content: str = ""  # the id of the element whose parts these are

    def part(self, name: str) -> Rule | None:
        return self.parts.get(name) or self.parts.get(f"{name}[x]")


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled StructureDefinition."""

    url: str
    title: str
    type: str
    root: Rule
    context: tuple[str, ...] = ()  # of an extension: the elements that it may stand on; empty: anywhere


def compiled(definition: Json) -> Profile:
    """The tree of a stored StructureDefinition."""
    elements = definition["snapshot"]["element"]
    rules: dict[str, Rule] = {}
    for element in elements:
        rule = rules[element["id"]] = _rule(element)
        parent_id, _, segment = element["id"].rpartition(".")
        parent = rules.get(parent_id)
        name, colon, slice_name = segment.partition(":")
        plain = rules.get(f"{parent_id}.{name}" if parent_id else name)
        if colon and plain is not None and plain is not rule:
            rule.slice = slice_name
            plain.slices.append(rule)
        elif parent is not None:
            parent.parts[rule.name] = rule
    for rule in rules.values():
        if rule.content and not rule.parts:
            other = rules.get(rule.content)
            rule.parts = other.parts if other is not None else {}
    root = rules[elements[0]["id"]]
    title = str(definition.get("title") or definition.get("name") or definition["url"])
    places = definition.get("context", ())
    told = all(one.get("type") == "element" for one in places)  # of other kinds nothing is told here
    context = tuple(str(one.get("expression", "")) for one in places) if told else ()
    return Profile(definition["url"], title, str(definition.get("type", "")), root, context)


def _rule(element: Json) -> Rule:
    path = str(element["path"])
    most = str(element.get("max", "*"))
    slicing = element.get("slicing", {})
    binding = element.get("binding")
    return Rule(
        path=path,
        name=path.rpartition(".")[2],
        least=int(element.get("min", 0)),
        most=MANY if most == "*" else int(most),
        types=tuple(
            TypeRule(str(one.get("code", "")), tuple(one.get("profile", ())), tuple(one.get("targetProfile", ())))
            for one in element.get("type", ())
        ),
        fixed=_by_stem(element, "fixed"),
        pattern=_by_stem(element, "pattern"),
        lowest=_by_stem(element, "minValue"),
        highest=_by_stem(element, "maxValue"),
        longest=int(element.get("maxLength", MANY)),
        binding=(binding["strength"], binding["valueSet"]) if binding else None,
        constraints=tuple(_constraint(one) for one in element.get("constraint", ())),
        sliced=bool(slicing),
        discriminators=tuple(Discriminator(str(one.get("type")), str(one.get("path"))) for one in slicing.get("discriminator", ())),
        closing=str(slicing.get("rules", "open")),
        ordered=bool(slicing.get("ordered", False)),
        content=str(element.get("contentReference", "")).rpartition("#")[2],
    )


def _by_stem(element: Json, stem: str) -> Any:
    return next((value for name, value in element.items() if name.startswith(stem) and name != stem), None)


def _constraint(one: Json) -> Constraint:
    return Constraint(str(one["key"]), one.get("severity") == "error", str(one.get("human", "")), one.get("parsed"))
