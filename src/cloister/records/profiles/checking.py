"""A resource, checked by a profile: cardinality, values, slices, types, targets, bindings, invariants, extensions.

Spec: http://hl7.org/fhir/R4/profiling.html, validation.html. What cannot be told (a value set or profile that is not loaded, an
expression that is not evaluated) is a warning and never an error. mustSupport asks nothing of a resource.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.records.profiles import fhirpath
from cloister.records.profiles.binding import bound, codings
from cloister.records.profiles.places import standing, type_in
from cloister.records.profiles.rules import MANY, Profile, Rule
from cloister.records.profiles.slicing import Slicer, referred
from cloister.records.profiles.stored import BASE
from cloister.records.profiles.values import equals, fits, within
from cloister.records.terminology.valuesets import Member, ValueSets
from cloister.records.validation.issues import Fault

Json = dict[str, Any]
Path = list[str | int]
DEPTH_MAX: Final = 40
FAULTS_MAX: Final = 100
EXTENSIONS: Final = ("extension", "modifierExtension")


@dataclass(slots=True)
class Check:
    """One resource being checked. `warn`: whether warnings are wanted too ($validate), which cost what errors do not need."""

    value_sets: ValueSets
    profile: Callable[[str], Profile | None]
    resource: Json
    warn: bool = True
    found: list[Fault] = field(default_factory=list)
    depth: int = 0

    def by(self, profile: Profile, value: Json, path: Path) -> None:
        """Check a value by a profile; faults are added to `found`."""
        if self.depth > DEPTH_MAX:
            return
        self.depth += 1
        self._inside(profile.root, value, path)
        self._invariants(profile.root, value, path)
        self.depth -= 1

    def conforms(self, value: Any, address: str) -> bool | None:
        profile = self.profile(address)
        if profile is None:
            return None
        if not isinstance(value, dict) or value.get("resourceType", profile.type) != profile.type:
            return False
        inner = Check(self.value_sets, self.profile, value if "resourceType" in value else self.resource, warn=False, depth=self.depth)
        inner.by(profile, value, [])
        return not inner.found

    # --- a node and its parts ---------------------------------------------------------------------------------------

    def _inside(self, rule: Rule, node: Json, path: Path) -> None:
        for part in rule.parts.values():
            values = list(standing(node, part.name))
            if values or part.least or part.slices:
                self._part(part, values, path)
            if len(self.found) > FAULTS_MAX:
                return

    def _part(self, part: Rule, values: list[tuple[Path, Any, str]], path: Path) -> None:
        self._count(part, len(values), path, part.name)
        groups: dict[int, int] = {}
        last = -1
        slicer = Slicer(self.value_sets, self.profile, self.conforms)
        for below, value, prop in values:
            kind = type_in(part.name, prop, part.types[0].code if part.types else "")
            self._value(part, value, kind, [*path, *below])
            if not part.slices:
                continue
            chosen = slicer.slice_of(part, value, kind)
            place = next((number for number, one in enumerate(part.slices) if one is chosen), -1)
            groups[place] = groups.get(place, 0) + 1
            if chosen is not None:
                self._value(chosen, value, kind, [*path, *below])
            self._placed(part, place, last, [*path, *below])
            last = max(last, place) if place >= 0 else len(part.slices)
        for number, one in enumerate(part.slices):
            self._count(one, groups.get(number, 0), path, f"{part.name}:{one.slice}")

    def _placed(self, part: Rule, place: int, last: int, path: Path) -> None:
        if place < 0 and part.closing == "closed":
            names = ", ".join(one.slice for one in part.slices[:8])
            self._error(
                path, "structure", "slice-closed", "This belongs to none of the slices that the profile allows.", f"Allowed: {names}."
            )
        if place >= 0 and part.closing == "openAtEnd" and last == len(part.slices):
            self._error(path, "structure", "slice-order", "This belongs before what the profile does not name.", "Put the others last.")
        elif place >= 0 and part.ordered and place < last:
            self._error(
                path, "structure", "slice-order", "This is not in the order that the profile asks for.", "Put it in the profile's order."
            )

    def _count(self, rule: Rule, count: int, path: Path, name: str) -> None:
        if count < rule.least:
            what = f"at least {rule.least} of it" if rule.least > 1 else "it"
            self._error([*path, name], "required", "profile-min", f"The profile asks for {what} here.", "Add it, or leave out the profile.")
        elif count > rule.most:
            what = f"at most {rule.most} of it" if rule.most else "none of it"
            self._error([*path, name], "structure", "profile-max", f"The profile allows {what} here.", "Leave out what is too much.")

    # --- one value --------------------------------------------------------------------------------------------------

    def _value(self, rule: Rule, value: Any, kind: str, path: Path) -> None:
        if value is None:
            return
        if rule.fixed is not None and not equals(value, rule.fixed):
            self._error(path, "value", "profile-fixed", "This is not the value that the profile fixes.", "Send exactly that value.")
        if rule.pattern is not None and not fits(value, rule.pattern):
            self._error(path, "value", "profile-pattern", "This does not have what the profile's pattern asks for.", "Add what is missing.")
        if (rule.lowest is not None or rule.highest is not None) and not within(value, rule.lowest, rule.highest):
            self._error(path, "value", "profile-range", "This is outside of what the profile allows.", "Correct it.")
        if rule.longest != MANY and isinstance(value, str) and len(value) > rule.longest:
            self._error(path, "value", "profile-length", f"This is longer than {rule.longest} characters.", "Shorten it.")
        self._type(rule, value, kind, path)
        if rule.binding is not None:
            self._binding(rule.binding, value, path)
        if isinstance(value, dict) and rule.parts:
            self._inside(rule, value, path)
        self._invariants(rule, value, path)

    def _type(self, rule: Rule, value: Any, kind: str, path: Path) -> None:
        if not rule.types:
            return
        fitting = [one for one in rule.types if one.code == kind]
        if not fitting and rule.name.endswith("[x]"):
            names = ", ".join(sorted({one.code for one in rule.types})[:12])
            self._error(path, "structure", "profile-type", "The profile does not allow this data type here.", f"Allowed: {names}.")
            return
        targets = [address for one in fitting for address in one.targets]
        if targets and isinstance(value, dict):
            self._target(targets, value, path)
        addresses = [address for one in rule.types for address in one.profiles]
        if addresses and isinstance(value, dict) and all(one.profiles for one in fitting or rule.types):
            self._profiles(addresses, value, path)

    def _target(self, targets: list[str], value: Json, path: Path) -> None:
        kind = referred(value)
        if not kind or BASE + "Resource" in targets:
            return
        profiles = [self.profile(address) for address in targets]
        types = {one.type if one else address.partition("|")[0].removeprefix(BASE) for one, address in zip(profiles, targets, strict=True)}
        if kind not in types and not any("/" in one for one in types):
            names = ", ".join(sorted(types)[:8])
            self._error(
                [*path, "reference"], "value", "profile-target", "The profile does not allow a reference to this.", f"Refer to: {names}."
            )

    def _profiles(self, addresses: list[str], value: Json, path: Path) -> None:
        known = [one for address in addresses if (one := self.profile(address)) is not None]
        if len(known) < len(addresses):
            if self.warn and not known:
                text = f"The profile {addresses[0][:200]} is not loaded, so this was not checked by it."
                self._warning(path, "not-found", "unknown-profile", text, "Have it loaded with 'cloister terminology load'.")
            return
        if len(known) == 1:
            self.by(known[0], value, path)
        elif not any(self.conforms(value, one.url) for one in known):
            names = ", ".join(one.title for one in known[:5])
            self._error(path, "structure", "profile-none", "This meets none of the profiles that are allowed here.", f"Allowed: {names}.")

    def _binding(self, binding: tuple[str, str], value: Any, path: Path) -> None:
        strength, address = binding
        if strength not in ("required", "extensible") or (strength == "extensible" and not self.warn):
            return
        if not codings(value):
            if strength == "required" and isinstance(value, dict):
                text = f"This has no code, and one of {address[:200]} is required."
                self._error(path, "code-invalid", "profile-binding", text, "Send a code of that value set.")
            return
        found = bound(self.value_sets, address, value)
        if found is Member.NO:
            text = f"This is no code of {address[:200]}."
            report = self._error if strength == "required" else self._warning
            report(path, "code-invalid", "profile-binding", text, "Ask ValueSet/$expand for its codes.")
        elif found is Member.UNKNOWN and self.warn:
            text = f"Whether this is a code of {address[:200]} could not be checked: a code system or value set is not loaded."
            self._warning(path, "not-found", "profile-binding", text, "Have it loaded with 'cloister terminology load'.")

    def _invariants(self, rule: Rule, value: Any, path: Path) -> None:
        for one in rule.constraints:
            if not one.error and not self.warn:
                continue
            told = fhirpath.holds(one, value, rule.path if "." in rule.path else str(rule.path), self.resource)
            report = self._error if one.error else self._warning
            if told is False:
                report(
                    path,
                    "invariant",
                    one.key[:64],
                    one.text[:500] or "A rule of the profile does not hold.",
                    "Correct it so that this holds.",
                )
            elif told is None and self.warn:
                self._warning(path, "not-supported", one.key[:64], "This rule of the profile could not be evaluated.", "Check it by hand.")

    # --- reporting --------------------------------------------------------------------------------------------------

    def _error(self, path: Path, code: str, rule: str, text: str, hint: str) -> None:
        self.found.append(Fault(list(path), code, rule, text, hint))

    def _warning(self, path: Path, code: str, rule: str, text: str, hint: str) -> None:
        if self.warn:
            self.found.append(Fault(list(path), code, rule, text, hint, severity="warning"))
