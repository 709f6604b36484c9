"""The second pass: one walk over a resource for what the JSON schema cannot say.

Required primitives, one value a choice, targets of references, dates that exist, narrative, invariants, padding of lists,
contained resources. Generated from the element tables; a walk costs nothing where nothing can be wrong.
Spec: http://hl7.org/fhir/R4/json.html, datatypes.html, references.html, narrative.html.
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Callable, Collection
from typing import Any, Final

from cloister.records.definitions import is_type, load
from cloister.records.search.fold import span
from cloister.records.validation.invariants import CLAIMS, INVARIANTS, Invariant
from cloister.records.validation.issues import Fault
from cloister.records.validation.narrative import narrative_fault

Found = list[Fault]
Check = Callable[[Any, Found], None]
DATES: Final = frozenset({"date", "dateTime", "instant"})


class Walker:
    """Checks one shape: a data type, a resource or a backbone element."""

    __slots__ = ("checks", "choices", "invariants", "padded", "required", "required_choices")

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.choices: dict[str, str] = {}  # property -> the choice it belongs to, where there are several
        self.required: tuple[str, ...] = ()
        self.required_choices: tuple[str, ...] = ()
        self.padded: frozenset[str] = frozenset()  # lists of primitives
        self.invariants: tuple[Invariant, ...] = ()

    def walk(self, node: dict[str, Any], found: Found) -> None:
        checks, padded = self.checks, self.padded
        for name, value in node.items():
            check = checks.get(name)
            if check is not None:
                before = len(found)
                check(value, found)
                if len(found) > before:
                    for fault in found[before:]:
                        fault.path.insert(0, name)
            elif name in padded and None in value:
                _padding(node, name, value, found)
        self.walk_names(node, found)
        for invariant in self.invariants:
            if not invariant.holds(node):
                found += _broken(invariant, node)

    def walk_names(self, node: Collection[str], found: Found) -> None:
        """What is asked of a node's properties whatever their values are: what must be there, what excludes each other."""
        for name in self.required:
            if name not in node and f"_{name}" not in node:
                found.append(Fault([name], "required", "required", "This element is missing.", "Add it."))
        if self.choices:
            self._one_value_each(node, found)

    def _one_value_each(self, node: Collection[str], found: Found) -> None:
        choices = self.choices
        seen: dict[str, str] = {}
        for name in node:
            plain = name[1:] if name[0] == "_" else name
            stem = choices.get(plain)
            if stem is not None and seen.setdefault(stem, plain) != plain:
                text = f"There is more than one {stem}[x]."
                found.append(Fault([name], "structure", "choice", text, "Keep one of them."))
        for stem in self.required_choices:
            if stem not in seen:
                options = ", ".join(sorted(name for name, of in choices.items() if of == stem)[:8])
                found.append(Fault([f"{stem}[x]"], "required", "required", "This element is missing.", f"Add one of {options}."))


def _broken(invariant: Invariant, node: dict[str, Any]) -> list[Fault]:
    if invariant.faults is not None:
        return invariant.faults(node)
    return [Fault([], "invariant", invariant.key, invariant.text, "Correct the element so that this holds.")]


def _padding(node: dict[str, Any], name: str, values: list[Any], found: Found) -> None:
    """json.html#primitive: null keeps the place of an element that only has extensions."""
    other = node.get(name[1:] if name[0] == "_" else f"_{name}", [])
    for number, value in enumerate(values):
        if value is None and (number >= len(other) or other[number] is None):
            found.append(Fault([name, number], "structure", "null", "There is neither a value nor an extension.", "Leave it out."))


# --- checks of single values --------------------------------------------------------------------------------------


def _date(value: str, found: Found) -> None:
    if value[8:10] > "28" or value[:4] == "0000":
        try:
            span(value)
        except ValueError:
            found.append(Fault([], "value", "calendar", "This day does not exist.", "Correct the date."))


def _narrative(value: str, found: Found) -> None:
    text = narrative_fault(value)
    if text:
        found.append(Fault([], "invalid", "txt-1", text, "Send plain XHTML, as http://hl7.org/fhir/R4/narrative.html allows it."))


def _base64(value: str, found: Found) -> None:
    try:
        binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except (binascii.Error, ValueError):
        found.append(Fault([], "value", "base64", "This is not base64.", "Encode it as RFC 4648, section 4."))


def _contained(value: dict[str, Any], found: Found) -> None:
    from cloister.records.validation.check import faults_of  # a resource inside a resource: the circle is in the standard

    found += faults_of(value, inside=True)


def _reference(targets: frozenset[str], inner: Check) -> Check:
    def check(node: dict[str, Any], found: Found) -> None:
        text = node.get("reference")
        if text is not None and targets and text.partition("/")[0] not in targets and not _may_be(text, targets):
            wanted = ", ".join(sorted(targets)[:8])
            found.append(Fault(["reference"], "value", "target", "This element cannot refer to such a resource.", f"Refer to: {wanted}."))
        if len(node) > 1:
            inner(node, found)

    return check


def _may_be(text: str, targets: frozenset[str]) -> bool:
    """True unless the text names a resource type that is not a target: urn:, '#', queries and foreign addresses may be anything."""
    if text[0] == "#" or text.startswith("urn:"):
        return True
    if "?" in text:
        name = text.partition("?")[0].rpartition("/")[2]
        return name in targets or not is_type(name)
    parts = text.partition("/_history/")[0].split("/")
    return len(parts) < 2 or not is_type(parts[-2]) or parts[-2] in targets


def _each(check: Check) -> Check:
    def check_all(values: list[Any], found: Found) -> None:
        for number, value in enumerate(values):
            if value is not None:
                before = len(found)
                check(value, found)
                if len(found) > before:
                    for fault in found[before:]:
                        fault.path.insert(0, number)

    return check_all


# --- made from the tables -----------------------------------------------------------------------------------------


@functools.cache
def walkers() -> dict[str, Walker]:
    """A walker for every shape of R4."""
    elements = load().elements
    made = {name: Walker() for name in elements}
    for name, shape in elements.items():
        _fill(made[name], name, shape, made)
    return made


def _fill(walker: Walker, name: str, shape: dict[str, Any], made: dict[str, Walker]) -> None:
    lists: set[str] = set()
    primitives: set[str] = set()
    for prop, (kind, many, *targets) in shape["fields"].items():
        check = _check_for(name, kind, frozenset(targets[0]) if targets else frozenset(), made)
        if kind not in made:
            primitives.add(prop)
            walker.checks[f"_{prop}"] = _each(made["Element"].walk) if many else made["Element"].walk
            if many:
                lists |= {prop, f"_{prop}"}
        if check is not None:
            walker.checks[prop] = _each(check) if many else check
    walker.padded = frozenset(lists)
    # The schema demands what is required and complex; primitives may be replaced by an extension on _name.
    walker.required = tuple(prop for prop in shape["required"] if prop in primitives)
    required_choices = set(shape["required_choices"])
    for stem, props in shape["choices"].items():
        if len(props) > 1 or stem in required_choices:
            walker.choices |= dict.fromkeys(props, stem)
    walker.required_choices = tuple(shape["required_choices"])
    walker.invariants = (*INVARIANTS.get(name, ()), *((CLAIMS,) if is_type(name) else ()))


def _check_for(shape: str, kind: str, targets: frozenset[str], made: dict[str, Walker]) -> Check | None:
    if kind == "Resource":
        return _contained
    if kind == "Reference":
        return _reference(targets, made["Reference"].walk)
    if kind in made:
        return made[kind].walk
    if kind in DATES:
        return _date
    if kind == "xhtml":
        return _narrative
    return _base64 if kind == "base64Binary" else None
