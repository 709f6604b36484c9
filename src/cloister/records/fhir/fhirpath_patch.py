"""FHIRPath Patch on a resource. Spec: http://hl7.org/fhir/R4/fhirpatch.html. Pure; works on a value that it may change.

Of FHIRPath it reads what names an element: names, choices by their stem, [n], first(), last(), single(), ofType(T) and
where(...) with =, !=, exists(), and, or. Anything else is refused by its text. An error names the operation by its place
and never repeats a value of the resource.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.records.definitions import load
from cloister.records.fhir.pointers import OPERATIONS_MAX, Unpatchable

PATH_CHARACTERS_MAX: Final = 1000
STEPS_MAX: Final = 40
TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|`(?P<quoted>\w+)`|(?P<text>'(?:[^'\\]|\\.)*')|(?P<number>\d+(?:\.\d+)?)|(?P<sign>!=|[.()\[\]=]))"
)
TYPES: Final = ("add", "insert", "delete", "replace", "move")
SEND: Final = "Send Parameters with operations: type, path, and what the type needs (http://hl7.org/fhir/R4/fhirpatch.html)."

Test = Callable[["Place"], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element stands: the property `name` of `owner`, or the `index`-th of it when that is a list."""

    owner: dict[str, Any]
    name: str
    index: int | None
    kind: str  # its type, or the shape of a backbone element
    shape: str = ""  # of its owner

    @property
    def value(self) -> Any:
        if not self.name:
            return self.owner
        held = self.owner[self.name]
        return held if self.index is None else held[self.index]


def applied(resource: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The resource after all operations, in their order; it is changed in place, and worthless where this raises."""
    operations = parameters.get("parameter", [])
    if not isinstance(operations, list) or not operations or len(operations) > OPERATIONS_MAX:
        raise _malformed(f"A patch has from 1 to {OPERATIONS_MAX} operations.", "Parameters.parameter")
    for number, operation in enumerate(operations):
        place = f"Parameters.parameter[{number}]"
        if not isinstance(operation, dict) or operation.get("name") != "operation" or not isinstance(operation.get("part"), list):
            raise _malformed("This is no operation of a patch.", place)
        parts = {part["name"]: part for part in operation["part"] if isinstance(part, dict) and isinstance(part.get("name"), str)}
        type, path = _text(parts, "type", place), _text(parts, "path", place)
        if type not in TYPES:
            raise _malformed(f"An operation of a patch is one of {', '.join(TYPES)}.", f"{place}.type")
        found = _Reader(path, place).places(resource)
        _apply(resource, type, found, parts, place)
        _prune(resource)
    return resource


def _apply(resource: dict[str, Any], type: str, found: list[Place], parts: dict[str, Any], place: str) -> None:
    match type:
        case "add":
            _add(_one(found, place), _text(parts, "name", place), parts.get("value"), place)
        case "delete":
            if found:
                _remove(_one(found, place), place)
        case "replace":
            _replace(_one(found, place), parts.get("value"), place)
        case "insert":
            held, kind, owner = _list(found, place)
            at = _number(parts, "index", len(held), place)
            held.insert(at, _value(parts.get("value"), kind, place))
            _beside(owner, found[0].name, lambda others: others.insert(at, None))
        case _:
            held, _, owner = _list(found, place)
            source, target = _number(parts, "source", len(held) - 1, place), _number(parts, "destination", len(held) - 1, place)
            held.insert(target, held.pop(source))
            _beside(owner, found[0].name, lambda others: others.insert(target, others.pop(source)))


def _add(parent: Place, name: str, part: Any, place: str) -> None:
    node, kind = parent.value, _kind(parent)
    if not isinstance(node, dict) or kind not in load().elements:
        raise _unfit("This element has nothing inside", place)
    prop, inner, many = _property(kind, name, part, place)
    value = _value(part, inner, place)
    if many:
        node.setdefault(prop, []).append(value)
        _beside(node, prop, lambda others: others.append(None))
    elif any(one in node for one in load().elements[kind]["choices"].get(name, [prop])):
        raise _unfit("This element is there already and does not repeat", place, "Use 'replace'.")
    else:
        node[prop] = value


def _property(kind: str, name: str, part: Any, place: str) -> tuple[str, str, bool]:
    """The JSON property for an element's name; of a choice, by the type of the value that is sent."""
    row = load().elements[kind]
    prop = name
    if name in row["choices"]:
        sent = next((key for key in part if key.startswith("value")), "") if isinstance(part, dict) else ""
        prop = name + sent.removeprefix("value")
    if prop not in row["fields"]:
        raise _unfit(f"There is no element '{name[:64]}' of this type", place, "Name an element of the definition, a choice by its stem.")
    inner, many = row["fields"][prop][:2]
    return prop, inner, bool(many)


def _replace(target: Place, part: Any, place: str) -> None:
    if not target.name:
        raise _unfit("A resource is not patched as a whole", place, "Send a whole resource with PUT.")
    owner = target.owner
    if target.index is not None:
        owner[target.name][target.index] = _value(part, target.kind, place)
        return
    choices = load().elements[target.shape]["choices"]
    stem = next((stem for stem, props in choices.items() if target.name in props), None)
    if stem is None or not isinstance(part, dict):
        owner[target.name] = _value(part, target.kind, place)
        return
    sent = next((key for key in part if key.startswith("value")), "")
    prop = stem + sent.removeprefix("value")
    if prop not in choices[stem]:
        raise _unfit("This element does not take a value of that type", place)
    kind = target.kind if prop == target.name else sent.removeprefix("value")
    value = _value(part, kind, place)
    del owner[target.name]
    owner.pop(f"_{target.name}", None)
    owner[prop] = value


def _remove(target: Place, place: str) -> None:
    if not target.name:
        raise _unfit("A resource is not deleted by a patch", place, "Send DELETE.")
    if target.index is None:
        target.owner.pop(target.name)
        target.owner.pop(f"_{target.name}", None)
    else:
        index = target.index
        target.owner[target.name].pop(index)
        _beside(target.owner, target.name, lambda others: others.pop(index))


def _beside(owner: dict[str, Any], name: str, change: Callable[[list[Any]], Any]) -> None:
    """The same change to the ids and extensions that stand beside a list of primitives."""
    others = owner.get(f"_{name}")
    if isinstance(others, list):
        change(others)


def _value(part: Any, kind: str, place: str) -> Any:
    """What is sent: a simple or complex value, a resource, or parts for an element that has no type of its own."""
    if not isinstance(part, dict):
        raise _malformed("This operation has no value.", f"{place}.value")
    if "resource" in part:
        return copy.deepcopy(part["resource"])
    sent = [key for key in part if key.startswith("value")]
    if len(sent) == 1:
        return copy.deepcopy(part[sent[0]])
    inside = part.get("part")
    if not isinstance(inside, list) or kind not in load().elements:
        raise _malformed("This operation has no value.", f"{place}.value")
    node: dict[str, Any] = {}
    for one in inside:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise _malformed("A part of this value has no name.", f"{place}.value")
        prop, inner, many = _property(kind, name, one, place)
        value = _value(one, inner, place)
        if many:
            node.setdefault(prop, []).append(value)
        else:
            node[prop] = value
    return node


def _one(found: list[Place], place: str) -> Place:
    if len(found) != 1:
        text = "This path leads to no element" if not found else "This path leads to several elements"
        raise _unfit(text, f"{place}.path", "Correct it, or choose one with [n] or where(...).")
    return found[0]


def _list(found: list[Place], place: str) -> tuple[list[Any], str, dict[str, Any]]:
    if not found or any(one.index is None or one.owner is not found[0].owner or one.name != found[0].name for one in found):
        raise _unfit("This path does not lead to one list", f"{place}.path", "Name the list, without [n].")
    held: list[Any] = found[0].owner[found[0].name]
    return held, found[0].kind, found[0].owner


def _number(parts: dict[str, Any], name: str, most: int, place: str) -> int:
    value = parts.get(name, {}).get("valueInteger")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _unfit(f"'{name}' is no place in this list", f"{place}.{name}", f"Send valueInteger from 0 to {most}.")
    return value


def _text(parts: dict[str, Any], name: str, place: str) -> str:
    part = parts.get(name, {})
    value = next((part[key] for key in ("valueString", "valueCode") if key in part), None)
    if not isinstance(value, str) or not value:
        raise _malformed(f"An operation has no '{name}'.", f"{place}.{name}")
    return value


def _kind(place: Place) -> str:
    """A resource's own type where any may stand."""
    value = place.value
    return str(value.get("resourceType", "")) if place.kind == "Resource" and isinstance(value, dict) else place.kind


def _prune(node: Any) -> None:
    """An element is never empty (json.html): what an operation has emptied goes."""
    if isinstance(node, dict):
        for name, value in list(node.items()):
            _prune(value)
            if value in ({}, []) or (name[0] == "_" and isinstance(value, list) and all(one is None for one in value)):
                del node[name]
    elif isinstance(node, list):
        for one in node:
            _prune(one)


class _Reader:
    """One path, read from its tokens and walked at once."""

    def __init__(self, text: str, place: str) -> None:
        self._place = f"{place}.path"
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        end = 0
        while end < len(text.rstrip()) and len(text) <= PATH_CHARACTERS_MAX:
            match = TOKEN.match(text, end)
            if match is None:
                raise self._unread(text[end : end + 20])
            end = match.end()
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        if not self._tokens or len(self._tokens) > 8 * STEPS_MAX:
            raise self._unread(text[:20])

    def places(self, resource: dict[str, Any]) -> list[Place]:
        root = Place(resource, "", None, str(resource["resourceType"]))
        kind, name = self._tokens[0]
        if kind == "name" and (name == root.kind or name in ("Resource", "DomainResource")):
            self._at = 1
            found = self._further([root])
        else:
            found = self._further(self._inside([root], self._word()))
        if self._at < len(self._tokens):
            raise self._unread(self._tokens[self._at][1])
        return found

    def _further(self, found: list[Place]) -> list[Place]:
        while self._at < len(self._tokens):
            if self._take("["):
                number = self._next("number")
                self._need("]")
                found = found[int(number) : int(number) + 1] if number.isdigit() and len(number) < 7 else []
            elif self._take("."):
                name = self._word()
                found = self._call(found, name) if self._take("(") else self._inside(found, name)
            else:
                break
        return found

    def _call(self, found: list[Place], name: str) -> list[Place]:
        match name:
            case "first" | "last" | "single":
                self._need(")")
                return found[-1:] if name == "last" else found[:1] if name == "first" else found
            case "ofType" | "as":
                wanted = self._word()
                self._need(")")
                return [one for one in found if _kind(one) == wanted]
            case "where":
                test = self._condition()
                self._need(")")
                return [one for one in found if test(one)]
            case _:
                raise self._unread(f"{name}()")

    def _condition(self) -> Test:
        tests: list[tuple[str, Test]] = [("or", self._comparison())]
        while self._peek() in (("name", "and"), ("name", "or")):
            joined = self._word()
            tests.append((joined, self._comparison()))

        def holds(one: Place) -> bool:
            groups: list[bool] = []
            for joined, test in tests:  # 'and' before 'or'
                if joined == "or":
                    groups.append(test(one))
                else:
                    groups[-1] = groups[-1] and test(one)
            return any(groups)

        return holds

    def _comparison(self) -> Test:
        names = [self._word()]
        while self._take("."):
            names.append(self._word())
        if names[-1] == "exists" and self._take("("):
            self._need(")")
            return lambda one: bool(self._walk(one, names[:-1]))
        equal = not self._take("!=")
        if equal:
            self._need("=")
        kind, text = self._peek()
        self._at += 1
        if kind == "text":
            wanted: Any = re.sub(r"\\(.)", r"\1", text[1:-1])
        elif kind == "number":
            wanted = float(text)
        elif (kind, text) in (("name", "true"), ("name", "false")):
            wanted = text == "true"
        else:
            raise self._unread(text)
        return lambda one: any((found.value == wanted) is equal for found in self._walk(one, names))

    def _walk(self, one: Place, names: list[str]) -> list[Place]:
        found = [one]
        for name in names:
            found = self._inside(found, name)
        return found

    def _inside(self, found: list[Place], name: str) -> list[Place]:
        inner: list[Place] = []
        for one in found:
            node, row = one.value, load().elements.get(_kind(one))
            if not isinstance(node, dict) or row is None:
                continue
            for prop in [name] if name in row["fields"] else row["choices"].get(name, []):
                if prop not in node:
                    continue
                kind = row["fields"][prop][0]
                if isinstance(node[prop], list):
                    inner += [Place(node, prop, at, kind, _kind(one)) for at in range(len(node[prop]))]
                else:
                    inner.append(Place(node, prop, None, kind, _kind(one)))
        return inner

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, sign: str) -> bool:
        if self._peek() != ("sign", sign):
            return False
        self._at += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unread(self._peek()[1] or "its end")

    def _next(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise self._unread(text or "its end")
        self._at += 1
        return text

    def _word(self) -> str:
        return self._next("quoted" if self._peek()[0] == "quoted" else "name")

    def _unread(self, what: str) -> Invalid:
        hint = "Use names, [n], first(), last(), single(), ofType(T) and where(name = 'x')."
        return Invalid(f"This path is not read at '{what[:40]}'.", hint=hint, reason="fhirpath-patch", expression=self._place)


def _unfit(text: str, place: str, hint: str = "Read the resource again.") -> Unpatchable:
    return Unpatchable(f"{text}.", hint=hint, reason="no-such-place", expression=place)


def _malformed(text: str, place: str) -> Invalid:
    return Invalid(text, hint=SEND, reason="fhirpath-patch", expression=place)
