"""The elements of a profile that only tells its differences: those of its base, with the differences worked in.

Spec: http://hl7.org/fhir/R4/profiling.html#snapshot, elementdefinition.html#id. What a profile does not speak of below a data
type is not unfolded: base validation checks it. So this is what is needed for checking, and no snapshot to be published.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.records.profiles.stored import BASE

Json = dict[str, Any]
Find = Callable[[str], Json | None]  # a StructureDefinition by its address
OWN: Final = frozenset({"id", "path"})
ELEMENTS_MAX: Final = 20_000


def elements_of(definition: Json, find: Find) -> list[Json]:
    """The elements to check; raises Invalid with what is missing. A snapshot that came along is taken as it is."""
    given = definition.get("snapshot", {}).get("element")
    if given:
        return identified(given)
    differences = identified(definition.get("differential", {}).get("element", []))
    address = str(definition.get("baseDefinition", ""))
    if not differences or not address:
        raise Invalid("It has neither a snapshot nor a differential with a base.", hint="Send one of them.")
    base = find(address)
    if base is None:
        hint = "Load the package that has it first, or both in one command."
        raise Invalid(f"Its base {address[:200]} is not loaded, so what it asks for cannot be worked out.", hint=hint)
    work = _Work(copy.deepcopy(identified(base["snapshot"]["element"])), find)
    for one in differences:
        work.merge(one)
    return work.elements


def identified(elements: list[Json]) -> list[Json]:
    """The elements with their ids, made from path and slice name where they have none."""
    made: list[Json] = []
    last: dict[str, str] = {}
    for element in elements:
        path = str(element.get("path", ""))
        if not path:
            raise Invalid("One of its elements has no path.", hint="Correct the StructureDefinition.")
        parent, dot, name = path.rpartition(".")
        slice_name = f":{element['sliceName']}" if element.get("sliceName") else ""
        id = str(element.get("id") or f"{last.get(parent, parent)}{dot}{name}{slice_name}")
        last[path] = id
        made.append(element | {"id": id})
    return made


class _Work:
    """The elements while differences are worked in, by id and in order."""

    def __init__(self, elements: list[Json], find: Find) -> None:
        self.elements = elements
        self._find = find
        self._by_id = {one["id"]: one for one in elements}

    def merge(self, difference: Json) -> None:
        target = self._needed(difference["id"])
        for name, value in difference.items():
            if name == "constraint":
                target["constraint"] = [*target.get("constraint", ()), *value]
            elif name not in OWN:
                if name.startswith(("fixed", "pattern")):
                    for old in [one for one in target if one.startswith(("fixed", "pattern"))]:
                        del target[old]
                target[name] = value

    def _needed(self, id: str) -> Json:
        """The element of this id, made where the base does not speak of it."""
        known = self._by_id.get(id)
        if known is not None:
            return known
        parent_id, dot, segment = id.rpartition(".")
        if not dot:
            raise Invalid(f"Its differential speaks of {id[:80]}, which is not its type.", hint="Correct the paths.")
        parent = self._needed(parent_id)
        name, colon, slice_name = segment.partition(":")
        if colon:
            plain = self._needed(f"{parent_id}.{name}")
            made = {key: copy.deepcopy(value) for key, value in plain.items() if key not in ("slicing", "constraint")}
            made |= {"sliceName": slice_name, "min": 0}
        else:
            made = copy.deepcopy(self._child(parent, name, id))
            made.pop("sliceName", None)
        made |= {"id": id, "path": f"{parent['path']}.{name}"}
        self._insert(made, parent_id, f"{parent_id}.{name}" if colon else "")
        return made

    def _insert(self, made: Json, parent_id: str, plain_id: str) -> None:
        """After everything that is below, or a slice of, what it belongs to."""
        if len(self.elements) >= ELEMENTS_MAX:
            raise Invalid("It has too many elements.", hint="Divide the profile.")
        head = plain_id or parent_id
        at = max(place for place, one in enumerate(self.elements) if one["id"] == head or one["id"].startswith((f"{head}.", f"{head}:")))
        self.elements.insert(at + 1, made)
        self._by_id[made["id"]] = made

    def _child(self, parent: Json, name: str, id: str) -> Json:
        """What the type of an element says of one of its parts."""
        if "contentReference" in parent:
            other = self._by_id.get(f"{str(parent['contentReference']).rpartition('#')[2]}.{name}")
            if other is not None:
                return other
        plain = self._by_id.get(".".join(step.partition(":")[0] for step in id.split(".")))
        if plain is not None:  # a part of a slice is, before it is changed, the part of what is sliced
            return plain
        for one in parent.get("type", ()):
            for address in (*one.get("profile", ()), BASE + str(one.get("code", ""))):
                found = _part(self._find(address), name)
                if found is not None:
                    return found
        plain_parent = ".".join(step.partition(":")[0] for step in str(parent["id"]).split("."))
        for choice, stem in [*self._choices(parent["id"]), *self._choices(plain_parent)]:
            if name.startswith(stem):
                wanted = name[len(stem) :].lower()
                fitting = [one for one in choice.get("type", ()) if str(one.get("code", "")).lower() == wanted]
                if fitting:
                    return choice | {"type": fitting}
        raise Invalid(f"Its differential speaks of {id[:120]}, which its base does not have.", hint="Correct the paths, or load its base.")

    def _choices(self, parent_id: str) -> list[tuple[Json, str]]:
        start = f"{parent_id}."
        ends = [(one, one["id"][len(start) :]) for one in self.elements if one["id"].startswith(start) and one["id"].endswith("[x]")]
        return [(one, rest[:-3]) for one, rest in ends if "." not in rest]


def _part(definition: Json | None, name: str) -> Json | None:
    if definition is None:
        return None
    elements = definition["snapshot"]["element"]
    wanted = f"{elements[0]['path']}.{name}"
    return next((one for one in elements if one["path"] == wanted and not one.get("sliceName")), None)
