"""Which slice a value belongs to. Spec: http://hl7.org/fhir/R4/profiling.html#slicing.

A value belongs to a slice when every discriminator says so. A slice that its discriminators cannot tell (they name what the slice
does not speak of) takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cloister.records.definitions import is_type
from cloister.records.profiles.binding import bound
from cloister.records.profiles.places import RESOLVE, addresses, followed, led, steps
from cloister.records.profiles.rules import Discriminator, Profile, Rule
from cloister.records.profiles.values import equals, fits
from cloister.records.terminology.valuesets import Member, ValueSets

Conforms = Callable[[Any, str], bool | None]  # does a value meet a profile? None: it is not loaded
BY_URL: Final = (Discriminator("value", "url"),)


class Slicer:
    """Decides by what is loaded."""

    def __init__(self, value_sets: ValueSets, profile: Callable[[str], Profile | None], conforms: Conforms) -> None:
        self._value_sets = value_sets
        self._profile = profile
        self._conforms = conforms

    def slice_of(self, rule: Rule, value: Any, kind: str) -> Rule | None:
        """The slice of a rule that a value of this data type belongs to."""
        discriminators = rule.discriminators or (BY_URL if rule.name in ("extension", "modifierExtension") else ())
        for one in rule.slices:
            if discriminators and all(self._says(part, one, value, kind) for part in discriminators):
                return one
            if not discriminators and rule.name.endswith("[x]") and kind in {each.code for each in one.types}:
                return one  # slices of a choice are told by its types where nothing else is said
        return None

    def _says(self, discriminator: Discriminator, rule: Rule, value: Any, kind: str) -> bool:
        path = steps(discriminator.path)
        if rule.name in ("extension", "modifierExtension") and path == ["url"]:
            return isinstance(value, dict) and value.get("url") in addresses(rule)
        match discriminator.kind:
            case "value" | "pattern":
                return self._by_value(rule, value, path)
            case "exists":
                target = self._led(rule, path)
                there = bool(followed(value, path))
                return target is not None and (there if target.least else not there if target.most == 0 else False)
            case "type":
                return self._by_type(rule, value, kind, path)
            case "profile":
                target = self._led(rule, path)
                wanted = [address for one in (target.types if target else ()) for address in (*one.profiles, *one.targets)]
                found = followed(value, path)
                return bool(found) and any(self._conforms(one, address) for one in found for address in wanted)
        return False

    def _led(self, rule: Rule | None, path: list[str]) -> Rule | None:
        for step in path:
            if rule is None:
                return None
            rule = led(rule, step) or self._in_profile(rule, step)
        return rule

    def _in_profile(self, rule: Rule, step: str) -> Rule | None:
        for one in rule.types:
            for address in one.profiles:
                profile = self._profile(address)
                found = led(profile.root, step) if profile is not None else None
                if found is not None:
                    return found
        return None

    def _by_value(self, rule: Rule, value: Any, path: list[str], place: int = 0) -> bool:
        """What the slice fixes at the end of the path, or on the way there, or binds it to."""
        for told, meets in ((rule.fixed, equals), (rule.pattern, fits)):
            if told is not None:
                wanted, found = followed(told, path[place:]), followed(value, path)
                return bool(wanted) and any(meets(one, each) for one in found for each in wanted)
        if place == len(path):
            if rule.binding is not None and rule.binding[0] == "required":
                return any(bound(self._value_sets, rule.binding[1], one) is Member.YES for one in followed(value, path))
            return self._inside(rule, value, path)
        further = led(rule, path[place]) or self._in_profile(rule, path[place])
        if further is None:
            return False
        # A slice that must be there says as much of the path as the element itself: code.coding:BPCode.code.
        ways = [further, *(one for one in further.slices if one.least)]
        return any(self._by_value(one, value, path, place + 1) for one in ways)

    def _inside(self, rule: Rule, value: Any, path: list[str]) -> bool:
        """The slice fixes parts of what the path leads to (code.coding.code, where the path is code)."""
        told = [part for part in rule.parts.values() if part.fixed is not None or part.pattern is not None or part.parts]
        deep = [part for part in told if part.fixed is not None or part.pattern is not None]
        found = followed(value, path)
        if not told or not found:
            return False
        if deep:
            return all(self._by_value(rule, one, [part.name.removesuffix("[x]")]) for one in found for part in deep)
        return all(any(self._inside(part, each, []) for each in followed(one, [part.name])) for one in found for part in told)

    def _by_type(self, rule: Rule, value: Any, kind: str, path: list[str]) -> bool:
        target = self._led(rule, path)
        if target is None:
            return False
        codes = {one.code for one in target.types}
        if RESOLVE in path or (codes == {"Reference"} and path):
            allowed = {address.partition("|")[0].rpartition("/")[2] for one in target.types for address in one.targets}
            profiled = {self._type_of(address) for one in target.types for address in one.targets}
            return any(referred(one) in allowed | profiled for one in followed(value, [step for step in path if step != RESOLVE]))
        if not path:
            return kind in codes or (isinstance(value, dict) and value.get("resourceType") in codes | self._types_of(target))
        found = followed(value, path)
        return bool(found) and all(isinstance(one, dict) and one.get("resourceType") in codes | self._types_of(target) for one in found)

    def _types_of(self, rule: Rule) -> set[str]:
        return {self._type_of(address) for one in rule.types for address in one.profiles}

    def _type_of(self, address: str) -> str:
        profile = self._profile(address)
        return profile.type if profile is not None else ""


def referred(value: Any) -> str:
    """The type of resource that a reference names; empty where it does not."""
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("type"), str):
        return str(value["type"])
    parts = str(value.get("reference", "")).partition("/_history/")[0].split("/")
    return parts[-2] if len(parts) > 1 and is_type(parts[-2]) else ""
