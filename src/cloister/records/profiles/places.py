"""The simple paths of discriminators, and what stands in a node under a rule's name.

Spec: http://hl7.org/fhir/R4/profiling.html#discriminator: element names, extension(url), resolve(), ofType(type), $this.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

from cloister.records.definitions import load
from cloister.records.profiles.rules import Rule

STEP: Final = re.compile(
    r"\$this|extension\(['\"](?P<url>[^'\"]*)['\"]\)|ofType\((?P<type>\w+)\)|(?P<call>resolve)\(\)|(?P<name>\w+)(?:\[x\])?"
)
Found = tuple[list[str | int], Any, str]  # path below the node, value, property (for the type of a choice)
RESOLVE: Final = "resolve()"


def steps(path: str) -> list[str]:
    """The steps of a path: names, 'extension:url', 'ofType:type', 'resolve()'; none for $this. Empty too for what is not understood."""
    found: list[str] = []
    at = 0
    while at < len(path):
        match = STEP.match(path, at)
        if match is None:
            return [f"?{path}"]
        if match["url"] is not None:
            found.append(f"extension:{match['url']}")
        elif match["type"]:
            found.append(f"ofType:{match['type']}")
        elif match["call"]:
            found.append(RESOLVE)
        elif match["name"]:
            found.append(match["name"])
        at = match.end() + 1
    return found


def standing(node: dict[str, Any], name: str) -> Iterator[Found]:
    """What stands in a node under a rule's name, one by one; None for a primitive that has only extensions."""
    if name.endswith("[x]"):
        stem = name[:-3]
        properties = sorted({one.lstrip("_") for one in node if one.lstrip("_").startswith(stem) and is_choice(one.lstrip("_"), stem)})
    else:
        properties = [name]
    for prop in properties:
        value, beside = node.get(prop), node.get(f"_{prop}")
        if isinstance(value, list) or isinstance(beside, list):
            for place in range(max(len(value or ()), len(beside or ()))):
                yield [prop, place], value[place] if isinstance(value, list) and place < len(value) else None, prop
        elif prop in node or beside is not None:
            yield [prop], value, prop


def is_choice(prop: str, stem: str) -> bool:
    return len(prop) > len(stem) and prop[len(stem)].isupper() and prop[len(stem) :] in _types()


@functools.cache
def _types() -> frozenset[str]:
    """Every data type by name, primitives in both spellings: as they are called, and as they end a choice."""
    kinds = _primitives()
    return kinds | {one[:1].upper() + one[1:] for one in kinds} | {one for one in load().elements if "." not in one}


def type_in(name: str, prop: str, declared: str) -> str:
    """The data type of what stands under a property: told by the property of a choice, else the declared one."""
    if not name.endswith("[x]"):
        return declared
    rest = prop[len(name) - 3 :]
    plain = rest[:1].lower() + rest[1:]
    return plain if plain in _primitives() else rest


@functools.cache
def _primitives() -> frozenset[str]:
    fields = (field for shape in load().elements.values() for field in shape["fields"].values())
    return frozenset(field[0] for field in fields if field[0][:1].islower())


def followed(value: Any, path: list[str]) -> list[Any]:
    """What a discriminator's path leads to from a value."""
    found = [value]
    for step in path:
        found = [inner for one in found for inner in _step(one, step)]
    return found


def _step(value: Any, step: str) -> Iterator[Any]:
    if step.startswith("ofType:"):
        yield value
    elif isinstance(value, dict):
        if step.startswith("extension:"):
            yield from (one for one in value.get("extension", ()) if one.get("url") == step[10:])
        elif step == RESOLVE:
            yield value
        else:
            found = [one for _, one, _ in standing(value, step)] or [one for _, one, _ in standing(value, f"{step}[x]")]
            yield from (one for one in found if one is not None)


def led(rule: Rule, step: str) -> Rule | None:
    """The rule that a step leads to."""
    if step.startswith(("ofType:", RESOLVE)):
        return rule
    if step.startswith("extension:"):
        extensions = rule.parts.get("extension")
        return next((one for one in (extensions.slices if extensions else ()) if step[10:] in addresses(one)), None)
    return rule.part(step)


def addresses(rule: Rule) -> list[str]:
    """The url that a slice of extensions is known by."""
    told = [address.partition("|")[0] for one in rule.types for address in one.profiles]
    url = rule.parts.get("url")
    return told or ([str(url.fixed or url.pattern)] if url is not None and (url.fixed or url.pattern) else [])
