"""The profiles of what was read, worked out: the elements of those that tell only differences, and their invariants parsed.

A profile may rest on another one of the same load, or on one that is loaded already; what rests on nothing is rejected by name.
"""

from __future__ import annotations

from typing import Any

from cloister.base.errors import CloisterError, Invalid
from cloister.records.loading.reading import Loaded, Rejected
from cloister.records.profiles.snapshot import elements_of
from cloister.records.profiles.stored import constraint_keys, slimmed
from cloister.records.terminology.library import Library

Json = dict[str, Any]
KIND = "StructureDefinition"
BASES_MAX = 20


def worked_out(loaded: Loaded, library: Library) -> None:
    """Replace each StructureDefinition by what is stored of it, in place."""
    keys = [key for key in loaded.resources if key[0] == KIND]
    if not keys:
        return
    work = _Work(loaded, library)
    for key in keys:
        definition = loaded.resources[key]
        try:
            made = work.made(definition, 0)
        except CloisterError as wrong:
            del loaded.resources[key]
            loaded.reject(f"{KIND}/{str(definition.get('id', '?'))[:64]}", wrong)
            continue
        for rule in _unreadable(made):
            text = f"The expression of its rule {rule[:64]} cannot be read, so that rule is not checked."
            loaded.rejected.append(Rejected(f"{KIND}/{str(definition.get('id', '?'))[:64]}", text, "The rest of the profile is."))
        loaded.resources[key] = made


class _Work:
    def __init__(self, loaded: Loaded, library: Library) -> None:
        self._sent = {key[1]: one for key, one in loaded.resources.items() if key[0] == KIND}
        self._library = library
        self._made: dict[str, Json] = {}
        bases = [library.resource(KIND, one.url) for one in library.entries(KIND)]
        self._known = constraint_keys([one for one in bases if one.get("derivation") != "constraint"])

    def made(self, definition: Json, depth: int) -> Json:
        address = definition["url"]
        if address not in self._made:
            if depth > BASES_MAX:
                raise Invalid("Its base rests on itself.", hint="Correct baseDefinition.")
            elements = elements_of(definition, lambda base: self._find(base, depth + 1))
            self._made[address] = slimmed(definition, elements, self._known)
        return self._made[address]

    def _find(self, address: str, depth: int) -> Json | None:
        sent = self._sent.get(address.partition("|")[0])
        if sent is not None:
            return self.made(sent, depth)
        return self._library.resource(KIND, address) if self._library.has(KIND, address) else None


def _unreadable(definition: Json) -> list[str]:
    return [
        str(one["key"])
        for element in definition["snapshot"]["element"]
        for one in element.get("constraint", ())
        if one.get("parsed", "") is None
    ]
