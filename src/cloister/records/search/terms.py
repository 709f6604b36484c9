"""One search parameter with its modifier and values, compiled to a test of an index entry.

Spec: http://hl7.org/fhir/R4/search.html#modifiers, #prefix, #token, #reference, #string, #uri, #date, #quantity, #number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from cloister.base.errors import Invalid, Unsupported
from cloister.records.definitions import is_type
from cloister.records.search.codes import OF_CODES, tokens_of
from cloister.records.search.entry import RECORD, UNIT, IndexEntry, Value
from cloister.records.search.fold import EPOCH, MICROSECOND, asked_number, asked_span, fold
from cloister.records.search.near import near_term
from cloister.records.search.phonetic import sounds
from cloister.records.search.query import Kind, Parameter, Term, Test
from cloister.records.terminology.ucum_scale import UCUM, conversion

PHONETIC: Final = "phonetic"
PREFIX: Final = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
MODIFIERS: Final[dict[Kind, frozenset[str]]] = {
    Kind.TOKEN: frozenset({"", "not", "of-type", "text"}) | OF_CODES,
    Kind.STRING: frozenset({"", "exact", "contains"}),
    Kind.REFERENCE: frozenset({"", "identifier"}),
    # `:above` and `:below` of a hierarchy are no term of their own: see parse.py,
    Kind.URI: frozenset({"", "below", "above"}),
    Kind.DATE: frozenset({""}),
    Kind.NUMBER: frozenset({""}),
    Kind.QUANTITY: frozenset({""}),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a request came from, as far as values depend on it: our own base address, and the time."""

    base: str = ""
    now: datetime | None = None


PRUNING_MAX: Final = 100  # codes that the lines of an index are looked through for; more take longer than reading them
Accept = Callable[[str], bool]  # of one textual value


def split(text: str, at: str) -> list[str]:
    """Split at a separator that is not escaped with a backslash; the escapes stay (search.html#escaping)."""
    if "\\" not in text:
        return text.split(at)
    pieces, piece, escaped = [], "", False
    for character in text:
        if character == at and not escaped:
            pieces.append(piece)
            piece = ""
            continue
        escaped = character == "\\" and not escaped
        piece += character
    return [*pieces, piece]


def unescape(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)


def term(parameter: Parameter, name: str, modifier: str, text: str, asked: Asked) -> Term:
    """The compiled term; raises Invalid or Unsupported with the parameter's name as expression."""
    alternatives = [piece for piece in split(text, ",") if piece.strip()]
    if not alternatives:
        raise Invalid(f"The parameter '{name}' has no value.", hint="Give it a value, or leave it out.", expression=name)
    if parameter.parts:
        return _composite(parameter, name, modifier, alternatives, asked)
    if parameter.kind is Kind.SPECIAL and parameter.code == "near" and not modifier:
        return near_term(parameter, name, alternatives)
    if not parameter.places:
        raise Unsupported(f"Searching by '{name}' is not offered.", hint="See the CapabilityStatement for what is.", expression=name)
    if modifier == "missing":
        return _missing(parameter, name, alternatives)
    typed = parameter.kind is Kind.REFERENCE and is_type(modifier)
    versions = parameter.canonical and modifier == "below"
    able = modifier in MODIFIERS[parameter.kind] and (modifier != "text" or parameter.texts is not None)
    able = able and not (modifier and parameter.code == PHONETIC)
    if not able and not typed and not versions:
        raise Unsupported(f"The modifier ':{modifier}' is not offered on '{name}'.", hint="See the CapabilityStatement.", expression=name)
    try:
        match parameter.kind:
            case Kind.TOKEN:
                return _token(parameter, name, modifier, alternatives)
            case Kind.REFERENCE:
                return _reference(parameter, name, modifier, alternatives, asked)
            case Kind.STRING if parameter.code == PHONETIC:
                return _phonetic(parameter, name, alternatives)
            case Kind.STRING:
                return _string(parameter, name, modifier, alternatives)
            case Kind.URI:
                return _uri(parameter, name, modifier, alternatives)
            case _:
                return _ordered(parameter, name, alternatives, asked)
    except Invalid as wrong:
        raise Invalid(f"The parameter '{name}': {wrong.text}", hint=wrong.hint, reason=wrong.reason, expression=name) from None


def _any_of(parameter: Parameter, accepts: Sequence[Accept]) -> Test:
    if len(accepts) == 1:
        accept = accepts[0]
        return lambda entry: any(accept(value) for value in parameter.values(entry.values) if isinstance(value, str))
    return lambda entry: any(accept(value) for value in parameter.values(entry.values) if isinstance(value, str) for accept in accepts)


def _one_of(parameter: Parameter, wanted: Sequence[str]) -> Test:
    """The quick test for exact values, by far the most frequent."""
    if len(parameter.places) == 1 and len(wanted) == 1:
        place, value = parameter.places[0], wanted[0]
        return lambda entry: value in entry.values.get(place, ())
    values = frozenset(wanted)
    return lambda entry: not values.isdisjoint(parameter.values(entry.values))


def _missing(parameter: Parameter, name: str, alternatives: list[str]) -> Term:
    if alternatives not in (["true"], ["false"]):
        raise Invalid(f"The parameter '{name}' takes true or false.", hint=f"Write {name}=true.", expression=name)
    wanted = alternatives == ["true"]

    def test(entry: IndexEntry) -> bool:
        return (next(parameter.values(entry.values), None) is None) is wanted

    return Term(name, parameter, "missing", tuple(alternatives), None, (), test)


def _of_codes(parameter: Parameter, name: str, modifier: str, alternatives: list[str]) -> Term:
    """A value set, or a code and what is under or above it: a list of codes, of which a short one prunes like any other."""
    given = []
    for text in alternatives:
        if modifier in ("in", "not-in"):
            given.append((unescape(text).strip(), ""))
            continue
        pieces = [unescape(piece).strip() for piece in split(text, "|")]
        if len(pieces) != 2 or not all(pieces):
            raise Invalid(f"':{modifier}' takes system|code.", hint="Name the code system: only it says what is under a code.")
        given.append((pieces[0], pieces[1]))
    wanted = tuple(sorted(tokens_of(modifier, given, plain=parameter.plain)))
    test = _one_of(parameter, wanted)
    if modifier == "not-in":
        return Term(name, parameter, modifier, tuple(alternatives), None, (), lambda entry: not test(entry))
    exact = wanted if 0 < len(wanted) <= PRUNING_MAX else None
    return Term(name, parameter, modifier, tuple(alternatives), exact, (), test)


def _text(parameter: Parameter, name: str, alternatives: list[str]) -> Term:
    """`:text` is a search by string in the words beside the codes, which only the opened resource has."""
    accepts, texts = [_starting(fold(unescape(text))) for text in alternatives], parameter.texts

    def whole(resource: dict[str, Any]) -> bool:
        found = [fold(str(text)) for text in texts(resource)] if texts is not None else []
        return any(accept(text) for text in found for accept in accepts)

    return Term(name, parameter, "text", tuple(alternatives), None, (), lambda entry: True, whole)


def _token(parameter: Parameter, name: str, modifier: str, alternatives: list[str]) -> Term:
    if modifier == "text":
        return _text(parameter, name, alternatives)
    if modifier in OF_CODES:
        return _of_codes(parameter, name, modifier, alternatives)
    exact: list[str] = []
    ends: list[str] = []
    accepts: list[Accept] = []
    for text in alternatives:
        pieces = [unescape(piece).strip() for piece in split(text, "|")]
        if modifier == "of-type":
            if len(pieces) != 3 or not pieces[1] or not pieces[2]:
                raise Invalid("':of-type' takes system|code|value.", hint="Give all three parts.")
            exact.append(f"{RECORD}{pieces[0]}{UNIT}{pieces[1].lower()}{UNIT}{pieces[2].lower()}")
        elif len(pieces) > 2:
            raise Invalid("A token is code, system|code, |code or system|.", hint="Write a | inside a value as \\|.")
        elif len(pieces) == 1 and not parameter.plain:
            ends.append(UNIT + pieces[0].lower())
            accepts.append(_ending(ends[-1]))
        elif len(pieces) == 2 and not pieces[1]:  # of a plain one, every value is of the one system that there is
            accepts.append(_starting(UNIT if parameter.plain else pieces[0] + UNIT))
        else:
            system = "" if len(pieces) == 1 or parameter.plain else pieces[0]
            exact.append(system + UNIT + pieces[-1].lower())
    if not accepts:
        test = _one_of(parameter, exact)
    else:
        values = frozenset(exact)
        test = _any_of(parameter, [*accepts, values.__contains__] if exact else accepts)
    if modifier == "not":
        return Term(name, parameter, modifier, tuple(alternatives), None, (), lambda entry: not test(entry))
    complete = len(exact) + len(ends) == len(alternatives)
    return Term(name, parameter, modifier, tuple(alternatives), tuple(exact) if complete else None, tuple(ends) if complete else (), test)


def _ending(end: str) -> Accept:
    return lambda value: value.endswith(end) and not value.startswith(RECORD)


def _marked_ending(end: str) -> Accept:
    return lambda value: value.endswith(end) and value.startswith(RECORD)


def _starting(start: str) -> Accept:
    return lambda value: value.startswith(start)


def _holding(part: str) -> Accept:
    return lambda value: part in value.partition(UNIT)[0]


def _original(text: str) -> Accept:
    return lambda value: value.rpartition(UNIT)[2] == text


def _local(id: str) -> Accept:
    """An id alone means a resource of this server."""
    return lambda value: value.endswith(f"/{id}") and value.count("/") == 1


def _version_of(asked: str, *, below: bool) -> Accept:
    """references.html#canonical: without a version any is meant; `:below` takes the versions that begin so."""
    if "|" not in asked:
        return lambda value: value.partition("|")[0] == asked
    return lambda value: value == asked or (below and value.startswith((f"{asked}.", f"{asked}-")))


def placed(text: str, asked: Asked) -> str:
    """A reference as the index has it: ours by type and id, all without version."""
    place = unescape(text).strip().partition("/_history/")[0]
    if asked.base and place.startswith(asked.base):
        place = place[len(asked.base) :].lstrip("/")
    return place


def _reference(parameter: Parameter, name: str, modifier: str, alternatives: list[str], asked: Asked) -> Term:
    exact: list[str] = []
    accepts: list[Accept] = []
    for text in alternatives:
        if modifier == "identifier":
            system, bar, value = (unescape(piece) for piece in text.rpartition("|"))
            if bar:
                exact.append(RECORD + system + UNIT + value.lower())
            else:
                accepts.append(_marked_ending(UNIT + value.lower()))
            continue
        place = placed(text, asked)
        if modifier == "below" or (parameter.canonical and ":" in place):
            accepts.append(_version_of(place, below=modifier == "below"))
            continue
        if "/" in place or ":" in place:
            if modifier and f"/{modifier}/" not in f"/{place}":
                raise Invalid(f"The value is no {modifier}.", hint="Leave out the modifier, or name a reference of its type.")
            exact.append(place)
            continue
        types = (modifier,) if modifier else (parameter.only.rstrip("/"),) if parameter.only else parameter.targets
        if types:
            exact += [f"{type}/{place}" for type in types]
        else:
            accepts.append(_local(place))
    if accepts:
        return Term(name, parameter, modifier, tuple(alternatives), None, (), _any_of(parameter, [*accepts, frozenset(exact).__contains__]))
    return Term(name, parameter, modifier, tuple(alternatives), tuple(exact), (), _one_of(parameter, exact))


def _phonetic(parameter: Parameter, name: str, alternatives: list[str]) -> Term:
    """Every word that is asked for sounds like a word of one value."""
    wanted = [sounds(unescape(text)) for text in alternatives]
    if not all(wanted):
        raise Invalid("There is no word that could sound like anything.", hint="Write a name.")
    accepts: list[Accept] = [_sounding(one) for one in wanted]
    return Term(name, parameter, "", tuple(alternatives), None, (), _any_of(parameter, accepts))


def _sounding(wanted: frozenset[str]) -> Accept:
    return lambda value: wanted <= sounds(value.partition(UNIT)[0])


def _string(parameter: Parameter, name: str, modifier: str, alternatives: list[str]) -> Term:
    make = {"exact": _original, "contains": _holding}.get(modifier, _starting)
    values = [unescape(text) if modifier == "exact" else fold(unescape(text)) for text in alternatives]
    test = _any_of(parameter, [make(value) for value in values])
    return Term(name, parameter, modifier, tuple(alternatives), None, (), test, parts=tuple(values) if all(values) else ())


def _uri(parameter: Parameter, name: str, modifier: str, alternatives: list[str]) -> Term:
    values = [unescape(text) for text in alternatives]
    if not modifier and parameter.canonical:  # `_profile`
        accepts = [_version_of(value, below=False) for value in values]
        return Term(name, parameter, modifier, tuple(alternatives), None, (), _any_of(parameter, accepts))
    if not modifier:
        return Term(name, parameter, modifier, tuple(alternatives), tuple(values), (), _one_of(parameter, values))
    accepts = [_starting(value) if modifier == "below" else value.startswith for value in values]
    return Term(name, parameter, modifier, tuple(alternatives), None, (), _any_of(parameter, accepts))


# --- composites -----------------------------------------------------------------------------------------------------


def _composite(parameter: Parameter, name: str, modifier: str, alternatives: list[str], asked: Asked) -> Term:
    """`code$value` (search.html#composite): one element must have both. The index prunes; where elements repeat, the
    opened resource decides."""
    if modifier:
        raise Unsupported(f"The modifier ':{modifier}' is not offered on '{name}'.", hint="See the CapabilityStatement.", expression=name)
    pairs: list[tuple[Term, ...]] = []
    for text in alternatives:
        pieces = split(text, "$")
        if len(pieces) != len(parameter.parts):
            hint = f"Write its {len(parameter.parts)} values with '$' between them, such as http://loinc.org|8480-6$gt140."
            raise Invalid(f"The parameter '{name}' takes {len(parameter.parts)} values.", hint=hint, expression=name)
        pairs.append(tuple(term(part, name, "", piece, asked) for part, piece in zip(parameter.parts, pieces, strict=True)))
    known = [[one for one, part in zip(pair, parameter.parts, strict=True) if min(part.places) >= 0] for pair in pairs]
    firsts = [pair[0] for pair in known if pair]
    told = len(firsts) == len(pairs) and all(one.exact is not None for one in firsts)
    exact = tuple(text for one in firsts for text in one.exact or ()) if told else None
    ends = tuple(text for one in firsts for text in one.ends) if told else ()
    elements = parameter.elements

    def whole(resource: dict[str, Any]) -> bool:
        entries = [IndexEntry(parameter.type, "", 0, 0, values) for values in elements(resource)] if elements is not None else []
        return any(all(one.test(entry) for one in pair) for entry in entries for pair in pairs)

    def test(entry: IndexEntry) -> bool:
        return any(all(one.test(entry) for one in pair) for pair in known)

    return Term(name, parameter, modifier, tuple(alternatives), exact, ends, test, whole if elements is not None else None)


# --- dates, numbers, quantities: ordered values with a prefix -----------------------------------------------------

Within = Callable[[Value, Value], bool]  # of the low and high end of one value
# Low end, high end and key of a quantity: its ends in the unit that was asked for, None if it is of another.
Amount = Callable[[Value, Value, str], tuple[Value, Value] | None]


def _ordered(parameter: Parameter, name: str, alternatives: list[str], asked: Asked) -> Term:
    step = 3 if parameter.kind is Kind.QUANTITY else 2
    tests = [ordered_test(parameter.kind, text, asked) for text in alternatives]

    def test(entry: IndexEntry) -> bool:
        for place in parameter.places:
            found = entry.values.get(place)
            if found:
                for at in range(0, len(found), step):
                    for within, amount in tests:
                        if holds(within, amount, found, at):
                            return True
        return False

    return Term(name, parameter, "", tuple(alternatives), None, (), test)


def holds(within: Within, amount: Amount | None, found: Sequence[Value], at: int) -> bool:
    """Whether the value that begins at this place is within, in the unit that was asked for if one was."""
    if amount is None:
        return within(found[at], found[at + 1])
    span = amount(found[at], found[at + 1], str(found[at + 2]))
    return span is not None and within(*span)


def ordered_test(kind: Kind, text: str, asked: Asked) -> tuple[Within, Amount | None]:
    match = PREFIX.fullmatch(text.strip())
    prefix, value = (match[1] or "eq", match[2]) if match else ("eq", text)
    if kind is Kind.DATE:
        return date_within(prefix, value, asked.now), None
    if kind is Kind.NUMBER:
        return _number_within(prefix, value), None
    pieces = [unescape(piece) for piece in split(value, "|")]
    if len(pieces) not in (1, 3):
        raise Invalid("A quantity is number, number|system|code or number||code.", hint="Write 5.4|http://unitsofmeasure.org|mg.")
    return _number_within(prefix, pieces[0]), _unit(pieces[1:])


def date_within(prefix: str, text: str, now: datetime | None) -> Within:
    low, high = asked_span(text)
    if prefix == "ap":  # a tenth of the distance from now (search.html#prefix)
        slack = abs((now - EPOCH) // MICROSECOND - low) // 10 if now is not None else 0
        low, high = low - slack, high + slack
    table: dict[str, Within] = {
        "eq": lambda a, b: low <= a and b <= high,  # type: ignore[operator]
        "ne": lambda a, b: not (low <= a and b <= high),  # type: ignore[operator]
        "gt": lambda a, b: b > high,  # type: ignore[operator]
        "lt": lambda a, b: a < low,  # type: ignore[operator]
        "ge": lambda a, b: b > high or (low <= a and b <= high),  # type: ignore[operator]
        "le": lambda a, b: a < low or (low <= a and b <= high),  # type: ignore[operator]
        "sa": lambda a, b: a >= high,  # type: ignore[operator]
        "eb": lambda a, b: b <= low,  # type: ignore[operator]
        "ap": lambda a, b: a < high and b > low,  # type: ignore[operator]
    }
    return table[prefix]


def _number_within(prefix: str, text: str) -> Within:
    value, low, high = asked_number(text)
    near, far = sorted((float(Decimal(str(value)) * 9 / 10), float(Decimal(str(value)) * 11 / 10)))  # `ap`: a tenth of the value
    table: dict[str, Within] = {
        "eq": lambda a, b: low <= a and b < high,  # type: ignore[operator]
        "ne": lambda a, b: not (low <= a and b < high),  # type: ignore[operator]
        "gt": lambda a, b: b > value,  # type: ignore[operator]
        "lt": lambda a, b: a < value,  # type: ignore[operator]
        "ge": lambda a, b: b >= value,  # type: ignore[operator]
        "le": lambda a, b: a <= value,  # type: ignore[operator]
        "sa": lambda a, b: a > value,  # type: ignore[operator]
        "eb": lambda a, b: b < value,  # type: ignore[operator]
        "ap": lambda a, b: a <= far and b >= near,  # type: ignore[operator]
    }
    return table[prefix]


def _unit(pieces: list[str]) -> Amount | None:
    """`|system|code` or `||unit`, where the code or the printed unit may be meant (search.html#quantity). UCUM codes are converted."""
    if not any(pieces):
        return None
    system, code = (pieces[0], pieces[1]) if len(pieces) > 1 else (pieces[0], "")
    if system == UCUM and code:
        return _in_unit(code)
    if system and code:
        return lambda low, high, key: (low, high) if key.startswith(system + UNIT + code + UNIT) else None
    if system:
        return lambda low, high, key: (low, high) if key.startswith(system + UNIT) else None
    return lambda low, high, key: (low, high) if code in key.split(UNIT)[1:] else None


def _in_unit(code: str) -> Amount:
    """In this UCUM unit, whichever the quantity has of the same dimension."""

    def amount(low: Value, high: Value, key: str) -> tuple[Value, Value] | None:
        system, stored, _ = key.split(UNIT, 2)
        if system != UCUM or stored == code:
            return (low, high) if system == UCUM else None
        scale = conversion(stored, code)
        return (_scaled(low, *scale), _scaled(high, *scale)) if scale is not None else None

    return amount


def _scaled(value: Value, factor: Fraction, offset: Fraction) -> float:
    """Reckoned with the digits as they were written, so that 90 mg/dL are 0.9 g/L and not a little less."""
    number = float(value)
    return number if math.isinf(number) else float(Fraction(repr(number)) * factor + offset)
