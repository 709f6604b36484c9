"""`_filter`: a boolean expression over search parameters, decided on opened values. Spec: http://hl7.org/fhir/R4/search_filter.html.

What must hold in any case (the parts of the outermost `and`) also becomes an ordinary term or chain, by which tokens and
the index prune; the filter itself decides. What a chain finds is what this session can open, as in any chained search.

Text is compared without case and accents. `ne` is what the standard says: some value is unequal. Without the code
systems nothing is said of what a code subsumes, so `ss`, `sb`, `in` and `ni` are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from cloister.base.errors import CloisterError, Unsupported
from cloister.records.definitions import is_type
from cloister.records.search.compile import parameter
from cloister.records.search.entry import UNIT, IndexEntry, Value
from cloister.records.search.filter_grammar import All, Any, Node, Not, Step, Test, conjuncts, parsed, wrong
from cloister.records.search.fold import asked_span, fold
from cloister.records.search.query import Chain, Filter, Kind, Parameter, Query, Targets, Term, unmarked
from cloister.records.search.terms import Amount, Asked, Within, holds, ordered_test, split, term

CHAIN_TYPES_MAX: Final = 8
STEPS_MAX: Final = 4
ORDERED: Final = ("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr")
TEXTUAL: Final = ("eq", "ne", "co", "sw", "ew", "pr")
OF_KIND: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.STRING: TEXTUAL,
    Kind.TOKEN: TEXTUAL,
    Kind.URI: TEXTUAL,
    Kind.REFERENCE: ("eq", "ne", "re", "pr"),
    Kind.DATE: (*ORDERED, "po"),
    Kind.NUMBER: ORDERED,
    Kind.QUANTITY: ORDERED,
}
# search_filter.html#ops: the value subsumes, is subsumed by, is in, is not in; each as the modifier that asks the same.
OF_CODES: Final = {"ss": "above", "sb": "below", "in": "in", "ni": "not-in"}
MILLISECOND: Final = 1000  # lastUpdated is shown in milliseconds, so it is compared in them
BRACKETS: Final = "Write it like subject[family eq x].birthdate ge 1970."

Holds = Callable[[IndexEntry, Targets], bool]
Accept = Callable[[str], bool]


@dataclass(slots=True)
class Parts:
    """What a filter adds to a query."""

    terms: list[Term] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    ids: frozenset[str] | None = None


def filtered(type: str, text: str, asked: Asked) -> Parts:
    """The parts of `_filter=text`; raises Invalid or Unsupported with the character."""
    return _parts(type, parsed(text), asked, steps=1)


def _parts(type: str, node: Node, asked: Asked, steps: int) -> Parts:
    found = Parts()
    for part in conjuncts(node):
        reader = _Reader(type, asked, steps)
        holds = reader.read(part)
        if isinstance(part, Test) and len(part.path) > 1:
            found.chains += reader.chains  # which must lead somewhere, and say where
            continue
        found.filters.append(Filter(part, holds, tuple(reader.chains)))
        if isinstance(part, Test):
            _prune(found, type, part, asked)
    return found


def _prune(found: Parts, type: str, test: Test, asked: Asked) -> None:
    """A term that holds wherever the test does, or the ids."""
    name, value, operator = test.path[0].name, test.value, test.operator
    if name == "_id" and operator == "eq":
        found.ids = frozenset({value}) if found.ids is None else found.ids & {value}
    known = parameter(type, name)
    if known is None or not known.places or not value.strip():
        return
    escaped = value.replace("\\", "\\\\").replace(",", "\\,")
    match known.kind, operator:
        case (Kind.TOKEN, "eq") | (Kind.REFERENCE, "eq" | "re"):
            found.terms.append(term(known, name, "", escaped, asked))
        case Kind.STRING, "eq" | "sw":
            found.terms.append(term(known, name, "", escaped.replace("|", "\\|").replace("$", "\\$"), asked))
        case Kind.DATE, "eq" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap":
            found.terms.append(term(known, name, "", operator + value, asked))


class _Reader:
    """One part of the outermost `and`, with the chains that it needs."""

    def __init__(self, type: str, asked: Asked, steps: int) -> None:
        self._type = type
        self._asked = asked
        self._steps = steps
        self.chains: list[Chain] = []

    def read(self, node: Node) -> Holds:
        if isinstance(node, Not):
            inner = self.read(node.part)
            return lambda entry, targets: not inner(entry, targets)
        if isinstance(node, All):
            every = [self.read(part) for part in node.parts]
            return lambda entry, targets: all(one(entry, targets) for one in every)
        if isinstance(node, Any):
            some = [self.read(part) for part in node.parts]
            return lambda entry, targets: any(one(entry, targets) for one in some)
        return self._chained(node) if len(node.path) > 1 else self._tested(node)

    def _chained(self, test: Test) -> Holds:
        first, *rest = test.path
        known = self._known(first)
        if known.kind is not Kind.REFERENCE:
            raise wrong(f"'{first.name}' of {self._type} is no reference, so nothing follows it", first.at, "Name a parameter of its own.")
        if self._steps + len(test.path) - 1 > STEPS_MAX:
            raise wrong(f"A chain of more than {STEPS_MAX} steps is not offered", first.at, "Search in two parts.")
        further = Test(tuple(rest), test.operator, test.value, test.at, test.value_at)
        inner: Node = further if first.where is None else All((first.where, further))
        types = (first.type,) if first.type else (known.only.rstrip("/"),) if known.only else known.targets
        able = [one for one in types if is_type(one) and _known_to(one, rest[0].name)]
        if not able:
            raise wrong(f"Nothing that '{first.name}' points at has the parameter '{rest[0].name}'", rest[0].at, "Correct the path.")
        if len(able) > CHAIN_TYPES_MAX:
            raise wrong(f"'{first.name}' may mean too many types", first.at, f"Name the type: {first.name}:Patient.{rest[0].name}")
        queries = []
        for one in able:
            parts = _parts(one, inner, self._asked, self._steps + 1)
            inside = Query(type=one, terms=tuple(parts.terms), chains=tuple(parts.chains), filters=tuple(parts.filters), ids=parts.ids)
            queries.append(inside)
        chain = Chain(f"_filter:{first.name}", known, tuple(queries))
        self.chains.append(chain)
        return lambda entry, targets: not targets[chain].isdisjoint(known.values(entry.values))

    def _tested(self, test: Test) -> Holds:
        step = test.path[0]
        if step.where is not None:
            raise wrong(
                "A filter in brackets is offered after references only", step.at, "Write it like subject[family eq x].birthdate ge 1970."
            )
        if step.type:
            raise wrong("A type is named only where the path goes on", step.at, f"Write {step.name} alone.")
        try:
            if step.name == "_id":
                return _of_ids(test)
            if step.name == "_lastUpdated":
                within, _ = self._within(Kind.DATE, test)
                return lambda entry, targets: within(
                    entry.updated // MILLISECOND * MILLISECOND, entry.updated // MILLISECOND * MILLISECOND + MILLISECOND
                )
            known = self._known(step)
            if test.operator in OF_CODES and known.kind is Kind.TOKEN:
                inside = term(known, step.name, OF_CODES[test.operator], test.value.replace("\\", "\\\\").replace(",", "\\,"), self._asked)
                return lambda entry, targets: inside.test(entry)
            self._allowed(test, known.kind)
            return self._of_kind(known, test)
        except CloisterError as refused:
            if refused.expression == "_filter":
                raise
            raise wrong(refused.text.rstrip("."), test.value_at, refused.hint) from None

    def _of_kind(self, known: Parameter, test: Test) -> Holds:
        if test.operator == "pr":
            if test.value not in ("true", "false"):
                raise wrong("'pr' takes true or false", test.value_at, f"Write {test.path[0].name} pr true.")
            present = test.value == "true"
            return lambda entry, targets: (next(known.values(entry.values), None) is not None) is present
        if known.kind in (Kind.DATE, Kind.NUMBER, Kind.QUANTITY):
            within, amount = self._within(known.kind, test)
            step = 3 if known.kind is Kind.QUANTITY else 2
            return lambda entry, targets: any(holds(within, amount, found, at) for found, at in _groups(known, entry, step))
        accept = self._accept(known, test)
        if test.operator == "ne":
            return lambda entry, targets: any(not accept(value) for value in unmarked(known.values(entry.values)))
        return lambda entry, targets: any(accept(value) for value in unmarked(known.values(entry.values)))

    def _within(self, kind: Kind, test: Test) -> tuple[Within, Amount | None]:
        self._allowed(test, kind)
        if test.operator == "po":
            low, high = asked_span(test.value)
            return (lambda a, b: a < high and b > low), None
        return ordered_test(kind, test.operator + test.value, self._asked)

    def _accept(self, known: Parameter, test: Test) -> Accept:
        if known.kind is Kind.REFERENCE:
            wanted = term(known, test.path[0].name, "", test.value.replace(",", "\\,"), self._asked)
            return lambda value: wanted.test(IndexEntry(known.type, "", 0, 0, {known.places[0]: [value]}))
        if known.kind is Kind.STRING:
            return _text_test(test.operator, fold(test.value), lambda value: value.partition(UNIT)[0])
        if known.kind is Kind.URI:
            return _text_test(test.operator, test.value.lower(), str.lower)
        system, bar, code = test.value.rpartition("|")
        code = code.lower()
        if bar and len(split(test.value, "|")) > 2:
            raise wrong("A token is code, system|code, |code or system|", test.value_at, "Leave out the other '|'.")
        inside = _text_test(test.operator, code, lambda value: value.rpartition(UNIT)[2])
        if not code and bar and known.plain:  # every value is of the one system that there is
            return lambda value: True
        if not bar or known.plain:
            return inside
        if not code:
            return lambda value: value.startswith(system + UNIT)
        return lambda value: value.startswith(system + UNIT) and inside(value)

    def _allowed(self, test: Test, kind: Kind) -> None:
        if test.operator not in OF_KIND[kind]:
            offered = ", ".join(OF_KIND[kind])
            raise wrong(f"'{test.operator}' does not compare a {kind}", test.at, f"'{test.path[-1].name}' takes {offered}.")

    def _known(self, step: Step) -> Parameter:
        known = parameter(self._type, step.name)
        if known is None:
            raise wrong(
                f"{self._type} has no search parameter '{step.name[:64]}'", step.at, "See the CapabilityStatement for those that it has."
            )
        if not known.places:
            text = f"'{step.name}' is not offered in a filter, at character {step.at + 1} of _filter."
            raise Unsupported(text, hint="Send it as a parameter of its own, beside _filter.", expression="_filter")
        return known


def _known_to(type: str, name: str) -> bool:
    return name in ("_id", "_lastUpdated") or parameter(type, name) is not None


def _of_ids(test: Test) -> Holds:
    if test.operator not in ("eq", "ne"):
        raise wrong(f"'{test.operator}' does not compare an id", test.at, "'_id' takes eq and ne.")
    id, equal = test.value, test.operator == "eq"
    return lambda entry, targets: (entry.id == id) is equal


def _text_test(operator: str, wanted: str, form: Callable[[str], str]) -> Accept:
    match operator:
        case "co":
            return lambda value: wanted in form(value)
        case "sw":
            return lambda value: form(value).startswith(wanted)
        case "ew":
            return lambda value: form(value).endswith(wanted)
        case _:
            return lambda value: form(value) == wanted


def _groups(known: Parameter, entry: IndexEntry, step: int) -> Iterable[tuple[list[Value], int]]:
    for place in known.places:
        found = entry.values.get(place)
        if found:
            yield from ((found, at) for at in range(0, len(found), step))
