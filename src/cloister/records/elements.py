"""Resources that come by the thousand, an element at a time: what came before in the same bytes is not read again.

An import repeats itself: the same code, the same category, the same reference to patient and stay. Each element's bytes
are remembered with what was made of them (checked, written compactly, search values extracted). This knows only good
elements. Whatever is faulty, unknown or unusual gets no draft here, and goes the long way, which says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloister.records.draft import Draft, head_of
from cloister.records.fhir.references import REWRITTEN, rewrite
from cloister.records.fhir.text import decode, decode_part, encode
from cloister.records.search import Values
from cloister.records.search.compile import compiled_type
from cloister.records.usual import NUMBERED, READERS, Mould, mould_of, numbered
from cloister.records.validation.shapes import Element, Shape, form_is_valid, own_is_valid, shape, whole_is_valid

BYTES_MAX: Final = 16 * 1024 * 1024
KNOWN_BYTES: Final = 600  # about what an element costs besides its bytes
WORTH_BYTES_MAX: Final = 2048  # a longer element will not come again
DIVIDED_BYTES_MIN: Final = 256  # a shorter one is not worth taking apart
# What `rewrite` may look at; a name written with escapes counts too.
_POINTER: Final = re.compile(rb'"(?:reference|url|uri|valueUri|valueUrl|valueCanonical|div)"|\\u').search
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch


class Parts(dict[str, Any]):
    """A resource as it came, property by property: `resourceType` and `id` read, all others msgspec.Raw."""

    def whole(self) -> dict[str, Any]:
        """All of it read; raises Invalid for text or numbers that JSON does not have."""
        return {name: decode(bytes(value)) if value.__class__ is msgspec.Raw else value for name, value in self.items()}


class _Known(msgspec.Struct, gc=False):
    """A good element where it stands: its value, its member in compact JSON, its search values."""

    value: Any
    member: bytes
    values: Values | None
    passing: bool


class _Form(msgspec.Struct, gc=False):
    """A value that is good wherever its form is asked for. `passing`: another transaction has no use for it; `once`: nothing has."""

    value: Any
    body: bytes
    passing: bool
    once: bool = False


class _Unusual(Exception):
    """Not for here: faulty, or of a form that this does not know."""


class _Entry(msgspec.Struct):
    request: dict[str, Any]
    resource: dict[str, msgspec.Raw] | None = None
    fullUrl: str = ""  # noqa: N815 (the standard's name)


class _Bundle(msgspec.Struct):
    resourceType: str  # noqa: N815
    type: str
    entry: list[_Entry] = []


_bundle: Final = msgspec.json.Decoder(_Bundle)
_Node = dict[str, msgspec.Raw]
_node: Final = msgspec.json.Decoder(_Node)
_nodes: Final = msgspec.json.Decoder(list[_Node])
_BROKEN: Final = (_Unusual, KeyError, msgspec.DecodeError, ValueError, RecursionError)


def bundle_in_parts(body: bytes) -> dict[str, Any] | None:
    """A Bundle whose resources are `Parts`; None for whatever is not put together as one should be."""
    try:
        read = _bundle.decode(body)
        entries = [_entry(one) for one in read.entry]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return {"resourceType": read.resourceType, "type": read.type, "entry": entries}


def _entry(one: _Entry) -> dict[str, Any]:
    entry: dict[str, Any] = {"fullUrl": one.fullUrl, "request": one.request}
    if one.resource is not None:
        parts = entry["resource"] = Parts(one.resource)
        for name in ("resourceType", "id"):
            if name in parts:
                raw = bytes(parts[name])
                plain = raw[:1] == b'"' and b"\\" not in raw
                parts[name] = raw[1:-1].decode() if plain else decode_part(raw)
    return entry


class Elements:
    """What one session has seen of elements, within a bound. Holds plaintext: `close` when the session locks."""

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._known: dict[str, dict[str, dict[bytes, _Known]]] = {}  # shape -> property -> bytes
        self._forms: dict[str, dict[bytes, _Form]] = {}  # form -> bytes
        self._moulds: dict[str, dict[tuple[bytes, bytes], Mould]] = {}  # form -> what stands around the number
        self._passing: list[tuple[dict[bytes, Any], bytes]] = []  # what goes with this transaction
        self._places: Mapping[str, str] = {}

    def close(self) -> None:
        self._known.clear()
        self._forms.clear()
        self._moulds.clear()
        self._passing.clear()
        self._bytes = 0

    def begin(self, places: Mapping[str, str]) -> None:
        """A transaction, whose entries' full URLs stand in `places`: references are rewritten by them."""
        for known, raw in self._passing:
            known.pop(raw, None)
        self._passing.clear()
        if self._bytes > self._bytes_max:
            self.close()
        self._places = places

    def draft(self, parts: Parts, id: str) -> tuple[Draft, dict[str, Any]] | None:
        """The draft and the resource, checked and its references rewritten; None: take the long way. The resource is not to be changed."""
        type = parts["resourceType"]
        try:
            if not _ID(parts.get("id", id)):
                return None
            node, members, values, _ = self._read(shape(type), parts)
        except _BROKEN:
            return None
        for place, collect in compiled_type(type).whole:
            values[place] = collect(node)
        tail = b"}," + b",".join(members) + b"}" if members else b"}}"
        return Draft.checked(type, id, head_of(type, id, node.get("meta")), tail, values, node), node

    def _read(self, shape: Shape, parts: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes], Values, bool]:
        """A node: its values, its members in compact JSON, its search values, and whether any of it is passing."""
        tables = self._known.get(shape.name)
        if tables is None:
            tables = self._known[shape.name] = {name: {} for name in shape.elements}
        node: dict[str, Any] = {}
        members: list[bytes] = []
        values: Values = {}
        passing = False
        for name, part in parts.items():
            if part.__class__ is str:  # resourceType and id
                node[name] = part
                continue
            table = tables[name]
            raw = bytes(part)
            known = table.get(raw)
            if known is None:
                known = self._learn(shape, name, raw, table)
            node[name] = known.value
            if known.values:
                values.update(known.values)
            if known.passing:
                passing = True
            if known.member:
                members.append(known.member)
        if not whole_is_valid(shape, node):
            raise _Unusual
        return node, members, values, passing

    def _learn(self, shape: Shape, name: str, raw: bytes, table: dict[bytes, _Known]) -> _Known:
        element = shape.elements[name]
        form = self._form(element, name, raw)
        if element.own is not None and not own_is_valid(element, form.value):
            raise _Unusual
        values: Values | None = None
        if element.collectors:
            values = {place: found for place, collect in element.collectors if (found := collect(form.value))}
        known = _Known(form.value, b"" if element.is_meta else element.head + form.body, values, form.passing)
        if not form.once:
            self._keep(table, raw, known, form.passing)
        return known

    def _form(self, element: Element, name: str, raw: bytes) -> _Form:
        """The value by itself. Dates, periods and references are the same in several elements of a transaction."""
        if element.child and len(raw) >= DIVIDED_BYTES_MIN:
            return self._divided(element, raw)
        if element.kind in NUMBERED and not element.many:
            return self._numbered(element, name, raw)
        if not element.passing and element.own is None:
            return self._taken(element, name, raw)
        forms = self._forms.get(element.form)
        if forms is None:
            forms = self._forms[element.form] = {}
        form = forms.get(raw)
        if form is None:
            form = self._taken(element, name, raw)
            self._keep(forms, raw, form, form.passing)
        return form

    def _keep(self, table: dict[bytes, Any], raw: bytes, what: Any, passing: bool) -> None:
        if passing:
            table[raw] = what
            self._passing.append((table, raw))
        elif len(raw) <= WORTH_BYTES_MAX:
            table[raw] = what
            self._bytes += len(raw) + KNOWN_BYTES

    def _numbered(self, element: Element, name: str, raw: bytes) -> _Form:
        """A quantity or an amount: of those that differ in nothing but the number, one is read and checked."""
        found = numbered(raw)
        if found is None:
            return self._taken(element, name, raw)
        around, digits = found
        moulds = self._moulds.setdefault(element.form, {})
        mould = moulds.get(around)
        if mould is None:
            form = self._taken(element, name, raw)
            mould = mould_of(around, digits, (form.value, form.body)) if not form.passing else None
            if mould is None:
                return form
            moulds[around] = mould
            self._bytes += len(raw) + KNOWN_BYTES
        return _Form(*mould.form(digits), passing=False, once=True)

    def _taken(self, element: Element, name: str, raw: bytes) -> _Form:
        """A value read and checked as one."""
        usual = READERS.get((element.kind, element.many))
        if usual is not None:
            form = usual(raw, self._places)
            if form is not None:
                return _Form(*form, passing=True)
        holder = {name: decode_part(raw)}
        points = _POINTER(raw) is not None or name in REWRITTEN
        if points and rewrite(holder, self._places):
            raise _Unusual  # a condition, or something that is not in this bundle
        value = holder[name]
        if not form_is_valid(element, value):
            raise _Unusual
        return _Form(value, encode(value), points or element.passing)

    def _divided(self, element: Element, raw: bytes) -> _Form:
        """A large value, by its own properties."""
        within = shape(element.child)
        if not element.many:
            node, members, _, passing = self._read(within, _node.decode(raw))
            return _Form(node, b"{" + b",".join(members) + b"}", passing)
        nodes, bodies, any_passing = [], [], False
        for parts in _nodes.decode(raw):
            node, members, _, passing = self._read(within, parts)
            nodes.append(node)
            bodies.append(b"{" + b",".join(members) + b"}")
            any_passing = any_passing or passing
        if not nodes:
            raise _Unusual
        return _Form(nodes, b"[" + b",".join(bodies) + b"]", any_passing)
