"""The same checks as check.py, an element at a time, so that an element that came before need not be checked again.

The JSON schema of a shape says three things: which properties there may be, which there must be, and what each must look
like. So a node is valid when every property is (`element_is_valid`), none is unknown, and what concerns the node as a
whole holds (`whole_is_valid`). These functions only say yes or no; what is wrong is said by check.py.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from cloister.records.definitions import is_type, load
from cloister.records.search.compile import compiled_type
from cloister.records.validation import schema
from cloister.records.validation.check import contained_faults, local_faults
from cloister.records.validation.issues import Fault
from cloister.records.validation.walk import Check, Walker, walkers

PASSING: Final = frozenset({"date", "dateTime", "instant", "Period", "id"})  # every resource has its own

LAYOUTS_MAX: Final = 2000  # of one shape: names, and no value


class Element:
    """One property of a shape. `child`: the shape of what stands in it, where that is a shape of this resource's own.

    `form` names what its value must look like, the same for all properties of one data type; `own` is what this very
    property asks besides, which is to what it may refer. `kind`: its data type; of a backbone element, its path.
    """

    __slots__ = ("check", "child", "collectors", "contained", "form", "head", "is_meta", "kind", "many", "own", "padded", "passing")

    def __init__(self, shape: str, name: str, kind: str, walker: Walker, *, many: bool, schema_form: dict[str, Any]) -> None:
        inner = _child(schema_form)
        self.kind = kind
        self.many = many
        self.child = inner if "." in kind else ""
        self.form = schema.form_name(inner, many=many) if inner else schema.part_name(shape, name)
        self.head = b'"%b":' % name.encode()
        check = walker.checks.get(name)
        self.own: Check | None = check if kind == "Reference" else None
        self.check: Check | None = check if kind != "Reference" else None
        self.padded = name in walker.padded
        self.contained = name == "contained"
        self.passing = kind in PASSING
        self.is_meta = name == "meta" and is_type(shape)
        self.collectors = compiled_type(shape).by_property.get(name, ()) if is_type(shape) else ()


class Shape:
    """One resource type or backbone element: its properties, and what is asked of the whole."""

    __slots__ = ("elements", "is_type", "layouts", "name", "required", "walker")

    def __init__(self, name: str) -> None:
        """`name` as the JSON schema has it: Observation, Observation_Component."""
        definition = load().schema[name]
        dotted = _dotted(name)
        fields = load().elements[dotted]["fields"]
        self.name = name
        self.is_type = is_type(name)
        self.walker = walkers()[dotted]
        self.layouts: dict[tuple[str, ...], bool] = {}  # the names of a node -> whether these may stand together
        self.required = frozenset(definition.get("required", ())) - {"resourceType"}
        self.elements: dict[str, Element] = {}
        for prop, form in definition["properties"].items():
            kind = fields.get(prop, ("",))[0]
            self.elements[prop] = Element(name, prop, kind, self.walker, many="items" in form, schema_form=form)


@functools.cache
def shape(name: str) -> Shape:
    """Made when it is first met: a hospital sends a few of the 700."""
    return Shape(name)


def form_is_valid(element: Element, value: Any) -> bool:
    """Whether a value is what all elements of this form must be."""
    if not schema.part_is_valid(element.form, value) or (element.padded and None in value):
        return False
    found: list[Fault] = []
    if element.check is not None:
        element.check(value, found)
    if element.contained:
        contained_faults({"contained": value}, found, inside=False)
    return not found


def own_is_valid(element: Element, value: Any) -> bool:
    """Whether a value of the right form may stand in this very element."""
    found: list[Fault] = []
    if element.own is not None:
        element.own(value, found)
    return not found


def whole_is_valid(shape: Shape, node: dict[str, Any]) -> bool:
    """What is demanded of a node beyond its properties: none missing, one value a choice, invariants."""
    names = tuple(node)
    known = shape.layouts.get(names)
    if known is None:
        found: list[Fault] = []
        shape.walker.walk_names(names, found)
        known = bool(names) and not found and shape.required.issubset(names)
        if len(shape.layouts) < LAYOUTS_MAX:
            shape.layouts[names] = known
    if known and "contained" in node:
        local: list[Fault] = []
        local_faults(node, local)
        if local:
            return False
    if known:
        for invariant in shape.walker.invariants:
            if not invariant.holds(node):
                return False
    return known


def _dotted(name: str) -> str:
    """Claim_SubDetail stands for Claim.item.detail.subDetail: the schema's names are not the elements' paths."""
    return name if "_" not in name else _paths().get(name, name)


@functools.cache
def _paths() -> dict[str, str]:
    """Schema name of each backbone element -> its path in the element tables, found by walking both together."""
    tables = load()
    found: dict[str, str] = {}
    left = [(type, type) for type in tables.types]
    while left:
        name, path = left.pop()
        fields = tables.elements[path]["fields"]
        for prop, form in tables.schema[name]["properties"].items():
            kind, child = fields.get(prop, ("",))[0], _child(form)
            if "." in kind and child and child not in found:
                found[child] = kind
                left.append((child, kind))
    return found


def _child(form: dict[str, Any]) -> str:
    """The definition that a property's schema refers to."""
    reference = form.get("$ref") or form.get("items", {}).get("$ref", "")
    return str(reference).removeprefix("#/definitions/")
