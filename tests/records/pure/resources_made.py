"""Resources of every type made up from the element tables: right in their shape, if not in their meaning."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any, Final

from cloister.records.definitions import load

TEXTS: Final = ("a", "Ève & <Frères>", 'say "no"', "two\nlines\tand\r\nmore", "non\u00a0breaking", "漢字 😀", "'", "]]>", "&amp;")
PRIMITIVES: Final[dict[str, tuple[Any, ...]]] = {
    "boolean": (True, False),
    "integer": (0, -7, 2**31 - 1),
    "unsignedInt": (0, 12),
    "positiveInt": (1, 99),
    "decimal": (0, 5, 5.4, Decimal("5.40"), Decimal("-0.000"), Decimal("1E+2"), 1e-9, Decimal("0.1000000000000000055511151231257827")),
    "date": ("2026", "2026-11", "2026-11-29"),
    "dateTime": ("2026-11-29T13:00:00+01:00", "2026"),
    "instant": ("2026-11-29T13:00:00.123Z",),
    "time": ("13:00:00",),
    "base64Binary": ("aGk=",),
    "code": ("final", "a b"),
    "id": ("a-1.B",),
    "oid": ("urn:oid:1.2.3",),
    "uuid": ("urn:uuid:0c3a0a3e-6a1c-4c5e-9f10-2f2d3a4b5c6d",),
    "uri": ("http://x.example/?a=1&b=2",),
    "url": ("http://x.example",),
    "canonical": ("http://x.example|1",),
    "string": TEXTS,
    "markdown": TEXTS,
}
DIVS: Final = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><p class="x">One &amp; <b>two</b><br/>three</p><table><tr><td></td></tr></table></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml">\u00e9 &lt;\n  <img src="#a" alt="&quot;q&quot;"/></div>',
)
DEPTH_MAX: Final = 5


def made(type: str, random: Random, depth: int = 0) -> dict[str, Any]:
    return {"resourceType": type} | _node(type, random, depth, full=depth == 0)


def _node(shape: str, random: Random, depth: int, *, full: bool = False) -> dict[str, Any]:
    """Some of the properties of a shape; nearly all of them when `full`. Never empty."""
    row = load().elements[shape]
    of_choice = {prop: stem for stem, props in row["choices"].items() for prop in props}
    fields = [prop for prop, (kind, *_) in row["fields"].items() if depth < DEPTH_MAX or _simple(kind)]
    chosen = [prop for prop in fields if random.random() < (0.7 if full else 0.8 / (depth + 1))] or [random.choice(fields)]
    node: dict[str, Any] = {}
    stems: set[str] = set()
    random.shuffle(chosen)
    for prop in chosen:
        kind, many, *_ = row["fields"][prop]
        if of_choice.get(prop, prop) in stems:
            continue
        stems.add(of_choice.get(prop, prop))
        attribute = (prop == "id" and shape not in load().types) or (shape == "Extension" and prop == "url")
        node |= _property(prop, kind, bool(many), random, depth, plain=attribute)
    return node


def _simple(kind: str) -> bool:
    return kind[0].islower() and kind != "xhtml"


def _property(prop: str, kind: str, many: bool, random: Random, depth: int, *, plain: bool) -> dict[str, Any]:
    if kind == "xhtml":
        return {prop: random.choice(DIVS)}
    if kind == "Resource":
        values: list[Any] = [made(random.choice(("Patient", "Binary", "Parameters", "Bundle")), random, depth + 2) for _ in range(2)]
        return {prop: values if many else values[0]}
    if not _simple(kind):
        values = [_node(kind, random, depth + 1) for _ in range(random.randint(1, 2))]
        return {prop: values if many else values[0]}
    values = [random.choice(PRIMITIVES[kind]) for _ in range(random.randint(1, 3))]
    others: list[Any] = [None] * len(values)
    if not plain and prop != "id" and depth < DEPTH_MAX and random.random() < 0.2:
        for place in range(len(values)):
            if random.random() < 0.6:
                others[place] = _node("Element", random, DEPTH_MAX - 1)
                values[place] = None if random.random() < 0.5 else values[place]
    if not many:
        values, others = values[:1], others[:1]
    found: dict[str, Any] = {}
    if any(value is not None for value in values):
        found[prop] = values if many else values[0]
    if any(other is not None for other in others):
        found[f"_{prop}"] = others if many else others[0]
    return found
