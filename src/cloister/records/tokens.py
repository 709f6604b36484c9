"""Blind tokens: what may be found across charts without opening them, and nothing more. Spec: docs/spec/zones.md.

A token is the first 8 bytes of HMAC-SHA-256(the zone's index key, type.parameter | value). Tokenised are:
  identifiers of every type, and ids that are no UUIDs (one cannot look for the row otherwise);
  Encounter, Appointment, ServiceRequest, Task: references to people and places, the days they took; and their
  status only while the work is open;
  Patient: birth date together with the first three letters of a name, never either alone;
  of every type: references to what may lie in a patient's record and is not in the same one, because no record's own
  index leads there (a newborn's stay that is part of the mother's, a provenance, a second patient of an appointment).
Never: codes, gender, free text, names, references inside a chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cloister.records.rowids import uuid_row
from cloister.records.search import Chain, IndexEntry, Query, Targets, Term, Tree, parameter
from cloister.records.search.entry import RECORD, TIME_MAX, TIME_MIN, UNIT, Value, Values
from cloister.records.search.fold import DAY, asked_span, fold
from cloister.records.search.pointing import REGISTER_KINDS, in_records, references
from cloister.zones import Keyring, algorithms

KEPT_MAX: Final = 50_000
DAYS_MAX: Final = 31  # longer periods have one token, 'long', that every search by day also looks for
ASKED_DAYS_MAX: Final = 100
ALTERNATIVES_MAX: Final = 200
GROUPS_MAX: Final = 4
NAME_LETTERS: Final = 3
NAMES: Final = ("family", "given", "name")

OPEN_STATUS: Final[dict[str, frozenset[str]]] = {
    "Encounter": frozenset({"planned", "arrived", "triaged", "in-progress", "onleave"}),
    "Appointment": frozenset({"proposed", "pending", "booked", "arrived", "checked-in", "waitlist"}),
    "ServiceRequest": frozenset({"draft", "active", "on-hold"}),
    "Task": frozenset({"draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"}),
}
REFERENCES: Final[dict[str, tuple[str, ...]]] = {
    "Encounter": ("location", "participant", "service-provider"),
    "Appointment": ("actor", "location"),
    "ServiceRequest": ("requester", "performer"),
    "Task": ("owner", "requester"),
}
REGISTER_TYPES: Final = tuple(f"{kind}/" for kind in sorted(REGISTER_KINDS))
DAYS: Final = {"Encounter": "date", "Appointment": "date", "ServiceRequest": "authored", "Task": "authored-on"}


class Tokens:
    """Computes and remembers tokens: few different texts make most of them."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._kept: dict[tuple[str, str], int] = {}

    def token(self, zone: str, text: str) -> int:
        kept = self._kept.get((zone, text))
        if kept is None:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            digest = algorithms.hmac256(self._keyring.index_key(zone), text.encode())
            kept = self._kept[zone, text] = int.from_bytes(digest[:8], "big", signed=True)
        return kept

    def of(self, zone: str, texts: list[str]) -> list[int]:
        return [self.token(zone, text) for text in texts]


def texts_of(entry: IndexEntry, beside: Callable[[str, str], bool]) -> list[str]:
    """What is tokenised of this resource; the same for every zone, and empty for most. `beside` tells whether a resource
    (type, id) lies in the same record."""
    found, type = id_texts(entry), entry.type
    identifier = parameter(type, "identifier")
    if identifier is not None and not entry.values.keys().isdisjoint(identifier.places):
        for value in identifier.values(entry.values):
            if isinstance(value, str) and value[:1] != RECORD:
                found.append(f"{type}.identifier|{value}")
                if value[:1] != UNIT:  # for a search that names no system
                    found.append(f"{type}.identifier|{UNIT}{value.partition(UNIT)[2]}")
    if type in OPEN_STATUS:
        found.extend(_work(entry))
    elif type == "Patient":
        found.extend(_compound(entry.values))
    for reference in references(type, entry.values):
        pointed, _, id = reference.partition("/")
        if in_records(pointed) and not beside(pointed, id):
            found.append(out_text(type, reference))
    return list(dict.fromkeys(found)) if found else found


def id_texts(entry: IndexEntry) -> list[str]:
    """What finds a resource by an id that its row does not follow from; of a deleted one too, because it is known to be gone."""
    return [id_text(entry.type, entry.id)] if uuid_row(entry.id) is None else []


def out_text(type: str, reference: str) -> str:
    return f"{type}._out|{reference}"


def out_texts(type: str, references: Iterable[str]) -> list[str]:
    """For what of a type, in any record, points at these and does not lie beside them."""
    return [out_text(type, one) for one in references]


def id_text(type: str, id: str) -> str:
    return f"{type}._id|{id}"


def _values(type: str, code: str, values: Values) -> Iterator[Value]:
    known = parameter(type, code)
    return known.values(values) if known is not None else iter(())


def _work(entry: IndexEntry) -> Iterator[str]:
    type = entry.type
    for value in _values(type, "status", entry.values):
        if str(value).rpartition(UNIT)[2] in OPEN_STATUS[type]:
            yield f"{type}.status|{value}"
    for code in REFERENCES[type]:
        for value in _values(type, code, entry.values):
            if isinstance(value, str) and value.startswith(REGISTER_TYPES):
                yield f"{type}.{code}|{value}"
    dates = list(_values(type, DAYS[type], entry.values))
    for low, high in zip(dates[0::2], dates[1::2], strict=False):
        for day in days(int(low), int(high)):
            yield f"{type}.{DAYS[type]}|{day}"


def days(low: int, high: int) -> list[str]:
    """The days (UTC) of a span in microseconds, or 'long' when they are many or without end."""
    first, last = low // DAY, (high - 1) // DAY
    if low <= TIME_MIN or high >= TIME_MAX or last - first >= DAYS_MAX:
        return ["long"]
    return [str(day) for day in range(first, last + 1)]


def _compound(values: Values) -> Iterator[str]:
    births = list(_values("Patient", "birthdate", values))[0::2]
    starts = {
        word[:NAME_LETTERS]
        for code in NAMES
        for value in _values("Patient", code, values)
        for word in str(value).partition(UNIT)[0].replace("-", " ").split()
        if len(word) >= NAME_LETTERS
    }
    return (f"Patient.birthdate+name|{birth}|{start}" for birth in births for start in sorted(starts))


def groups_of(query: Query) -> list[list[str]] | None:
    """What the tokens of a match must contain: all groups, any text of each. None when tokens cannot prune this query."""
    groups: list[list[str]] = []
    for term in query.terms:
        group = _group(query.type, term)
        if group is not None and 0 < len(group) <= ALTERNATIVES_MAX and len(groups) < GROUPS_MAX:
            groups.append(group)
    if query.type == "Patient":
        groups.extend(_asked_compound(query)[: GROUPS_MAX - len(groups)])
    return groups or None


def groups_of_chains(query: Query, targets: Targets) -> list[list[str]] | None:
    """The same for what chains have found, such as the encounters of wards with a certain name."""
    groups = [
        [f"{query.type}.{one.parameter.code}|{text}" for text in sorted(references)]
        for one, references in targets.items()
        if isinstance(one, Chain | Tree)
        and one.parameter.code in REFERENCES.get(query.type, ())
        and 0 < len(references) <= ALTERNATIVES_MAX
        and all(text.startswith(REGISTER_TYPES) for text in references)
    ]
    return groups[:GROUPS_MAX] or None


def _group(type: str, term: Term) -> list[str] | None:
    if term.parameter is None or term.modifier not in ("", "Practitioner", "Location", "Organization"):
        return None
    code = term.parameter.code
    if code == DAYS.get(type):
        return _asked_days(type, term)
    if term.exact is None:
        return None
    if code == "identifier":
        return [f"{type}.identifier|{text}" for text in (*term.exact, *term.ends)]
    if term.ends:
        return None
    if code == "status" and type in OPEN_STATUS and all(text.rpartition(UNIT)[2] in OPEN_STATUS[type] for text in term.exact):
        return [f"{type}.status|{text}" for text in term.exact]
    if code in REFERENCES.get(type, ()) and all(text.startswith(REGISTER_TYPES) for text in term.exact):
        return [f"{type}.{code}|{text}" for text in term.exact]
    return None


def _asked_days(type: str, term: Term) -> list[str] | None:
    """The days that a date term without prefix spans."""
    found = ["long"]
    for text in term.values:
        plain = text.removeprefix("eq")
        if not plain[:1].isdigit():
            return None
        low, high = asked_span(plain)
        first, last = low // DAY, (high - 1) // DAY
        if last - first >= ASKED_DAYS_MAX:
            return None
        found.extend(str(day) for day in range(first, last + 1))
    return [f"{type}.{DAYS[type]}|{day}" for day in found]


def _asked_compound(query: Query) -> list[list[str]]:
    birth, group = query.term("birthdate"), []
    if birth is None or not all(len(text) == 10 and text[:1].isdigit() for text in birth.values):
        return []
    lows = [asked_span(text)[0] for text in birth.values]
    for code in NAMES:
        term = query.term(code)
        if term is None:
            continue
        words = [fold(text).replace("-", " ").split() for text in term.values]
        if all(one and len(one[0]) >= NAME_LETTERS for one in words):
            group.append([f"Patient.birthdate+name|{low}|{one[0][:NAME_LETTERS]}" for low in lows for one in words])
    return group
