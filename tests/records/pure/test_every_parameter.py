"""Every search parameter of R4 finds a resource that carries its value, and not its neighbour that does not."""

from __future__ import annotations

import msgpack
import pytest
from every_parameter import WITHOUT_VALUE, Case, bare, cases, composites, definitions, parameters_of

from cloister.base.errors import Unsupported
from cloister.records.definitions import load
from cloister.records.search import IndexEntry, decided, extract, matches, parameters, parse
from cloister.records.validation import check


def entry_of(case: Case, number: int) -> IndexEntry:
    """As it comes back from a sealed index."""
    packed = msgpack.packb(IndexEntry(case.type, f"v{number}", 1, 0, extract(case.resource)))
    return IndexEntry._make(msgpack.unpackb(packed, strict_map_key=False))


@pytest.mark.parametrize("type", load().types)
def test_every_parameter_finds_its_value_and_not_its_neighbour(type: str) -> None:
    several = [*cases(type), *composites(type)]
    entries = [entry_of(case, number) for number, case in enumerate(several)]
    plain = IndexEntry(type, "bare", 1, 0, extract(bare(type)))
    for number, case in enumerate(several):
        check(case.resource)  # nothing is found here that could not be stored
        for question in case.questions:
            query = parse(type, [(case.code, one) for one in question.split("&")], strict=True)
            hits = [
                place
                for place, entry in enumerate(entries)
                if matches(query, entry, undecided=True) and decided(query, several[place].resource)
            ]
            name = (type, case.code, case.place, question)
            assert hits == [number] if case.unique else number in hits, name
            if case.unique or case.kind == "composite":
                assert not (matches(query, plain, undecided=True) and decided(query, bare(type))), name
        if not case.unique and case.kind == "token":  # of a few codes: another one is not found by it
            others = [place for place in range(len(entries)) if place not in hits]
            assert all(case.place not in several[place].place or several[place].resource != case.resource for place in others)


def test_every_official_definition_is_searched_or_listed() -> None:
    """1,378 of them, with 3,014 pairs of type and parameter."""
    assert len(definitions()) == 1378
    pairs, listed, searched = 0, 0, 0
    for type in load().types:
        found = {case.code for case in (*cases(type), *composites(type))}
        codes = {str(body["code"]) for body in parameters_of(type)}
        assert parameters(type).keys() == codes
        assert codes - found <= WITHOUT_VALUE.keys(), type
        pairs, searched, listed = pairs + len(codes), searched + len(codes & found), listed + len(codes - found)
    assert (pairs, searched, listed) == (3014, 2282, 732)
    assert listed == 5 * len(load().types) + 2  # five of every type, which stand in no element that an expression names


@pytest.mark.parametrize("type", load().types)
def test_every_type_is_found_by_id_and_time(type: str) -> None:
    day = 86_400_000_000
    entries = [IndexEntry(type, f"v{number}", 1, number * day, {}) for number in range(3)]
    for name, text in (("_id", "v1"), ("_lastUpdated", "1970-01-02"), ("_lastUpdated", "eq1970-01-02T00:00:00Z")):
        assert [entry.id for entry in entries if matches(parse(type, [(name, text)], strict=True), entry)] == ["v1"]


@pytest.mark.parametrize(("type", "code"), [("Bundle", "message"), ("Bundle", "composition"), ("Patient", "_query")])
def test_what_is_listed_is_refused_by_name(type: str, code: str) -> None:
    with pytest.raises(Unsupported) as refused:
        parse(type, [(code, "x")])
    assert refused.value.expression == code
