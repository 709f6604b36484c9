"""`_filter` as programs write it: what holds, what does not, and the character at which something is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base.errors import CloisterError, Invalid, Unsupported
from cloister.records.search import IndexEntry, extract, matches, parse
from cloister.records.search.filter_grammar import DEPTH_MAX, TESTS_MAX

NOW = datetime(2026, 11, 29, tzinfo=UTC)
LOPEZ: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "lopez",
    "active": True,
    "identifier": [{"system": "urn:ins", "value": "281036938803175"}, {"value": "IPP-77"}],
    "name": [{"family": "López-Núñez", "given": ["Hélène", "Marie"]}],
    "gender": "female",
    "birthDate": "1981-03-14",
    "address": [{"city": "Évry"}],
    "generalPractitioner": [{"reference": "Practitioner/adele"}],
}
PULSE: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "pulse",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}, {"system": "urn:local", "code": "PULS"}]},
    "subject": {"reference": "Patient/lopez"},
    "effectivePeriod": {"start": "2026-11-20T08:00:00Z", "end": "2026-11-22T08:00:00Z"},
    "valueQuantity": {"value": 72.5, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
}


def entry_of(resource: dict[str, Any]) -> IndexEntry:
    return IndexEntry(resource["resourceType"], resource["id"], 1, 1_795_000_000_000_000, extract(resource))


def holds(resource: dict[str, Any], text: str) -> bool:
    return matches(parse(resource["resourceType"], [("_filter", text)], strict=True, now=NOW), entry_of(resource))


@pytest.mark.parametrize(
    ("resource", "text", "answer"),
    [
        (LOPEZ, 'family eq "lopez-nunez"', True),
        (LOPEZ, 'family eq "lopez"', False),
        (LOPEZ, "family sw LÓPEZ", True),
        (LOPEZ, "family ew nunez", True),
        (LOPEZ, 'name co "elen"', True),
        (LOPEZ, 'given ne "marie"', True),  # an item that is unequal: Hélène
        (LOPEZ, 'not (given eq "marie")', False),
        (LOPEZ, "address-city eq evry and gender eq female", True),
        (LOPEZ, "address-city eq evry and gender eq male", False),
        (LOPEZ, "gender eq male or address-city eq evry", True),
        (LOPEZ, "gender eq male and family eq x or birthdate eq 1981", True),  # 'and' first
        (LOPEZ, "gender eq male and (family eq x or birthdate eq 1981)", False),
        (LOPEZ, "not (gender eq male) and not(active eq false)", True),
        (LOPEZ, "birthdate ge 1981-03-14 and birthdate lt 1982", True),
        (LOPEZ, "birthdate gt 1981-03-14", False),
        (LOPEZ, "birthdate ap 1982", True),
        (LOPEZ, "identifier eq urn:ins|281036938803175", True),
        (LOPEZ, "identifier eq |IPP-77", True),
        (LOPEZ, "identifier eq urn:ins|", True),
        (LOPEZ, "identifier eq urn:other|281036938803175", False),
        (LOPEZ, "identifier sw urn:ins|281", True),
        (LOPEZ, "identifier eq ipp-77", True),
        (LOPEZ, "active eq true", True),
        (LOPEZ, "general-practitioner re Practitioner/adele", True),
        (LOPEZ, "general-practitioner eq adele", True),
        (LOPEZ, "general-practitioner ne Practitioner/adele", False),
        (LOPEZ, "death-date pr false and telecom pr false and family pr true", True),
        (LOPEZ, "death-date pr true", False),
        (LOPEZ, "_id eq lopez or _id eq other", True),
        (LOPEZ, "_id ne lopez", False),
        (LOPEZ, "_lastUpdated gt 2026-01-01", True),
        (LOPEZ, ' family eq "a \\"b\\" ) or" or family sw l ', True),
        (PULSE, "code eq http://loinc.org|8867-4 and value-quantity gt 72", True),
        (PULSE, "value-quantity eq 72.5|http://unitsofmeasure.org|/min", True),
        (PULSE, "value-quantity lt 72.5||/min", False),
        (PULSE, "code ne http://loinc.org|8867-4", True),
        (PULSE, "not (code eq PULS)", False),
        (PULSE, "date po 2026-11-22", True),
        (PULSE, "date po 2026-11-23", False),
        (PULSE, "date sa 2026-11-19 and date eb 2026-11-23", True),
        (PULSE, "patient re Patient/lopez", True),
        (PULSE, "subject re Patient/other or status eq final", True),
    ],
)
def test_what_a_filter_says_holds_and_nothing_else(resource: dict[str, Any], text: str, answer: bool) -> None:
    assert holds(resource, text) is answer


def test_a_filter_stands_beside_other_parameters_and_both_must_hold() -> None:
    for value, answer in (("female", True), ("male", False)):
        query = parse("Patient", [("gender", value), ("_filter", "family sw lop or given sw x")], strict=True)
        assert matches(query, entry_of(LOPEZ)) is answer
    assert parse("Patient", [("_filter", "family sw lop")], strict=True).applied == (("_filter", "family sw lop"),)


def test_what_must_hold_in_any_case_prunes() -> None:
    query = parse(
        "Observation", [("_filter", "patient re Patient/lopez and code eq http://loinc.org|8867-4 and (date ge 2026 or date pr false)")]
    )
    assert query.patients() == ("Patient/lopez",)
    assert parse("Patient", [("_filter", "_id eq a")]).ids == {"a"}
    assert parse("Observation", [("_filter", "patient re Patient/a or patient re Patient/b")]).patients() is None
    chained = parse("Observation", [("_filter", "subject:Patient.name co pet and status eq final")])
    assert [chain.parameter.code for chain in chained.chains] == ["subject"]


def test_a_chain_holds_by_what_stands_at_its_other_end_and_never_without_it() -> None:
    query = parse("Observation", [("_filter", "patient[family sw lop].birthdate lt 1990 or status eq amended")], strict=True)
    (chain,) = query.filters[0].chains
    (inner,) = chain.queries
    assert inner.type == "Patient"
    assert matches(inner, entry_of(LOPEZ))
    assert not matches(inner, entry_of(LOPEZ | {"birthDate": "1990-01-01"}))
    assert not matches(inner, entry_of(LOPEZ | {"name": [{"family": "Other"}]}))
    assert matches(query, entry_of(PULSE), targets={chain: frozenset({"Patient/lopez"})})
    assert not matches(query, entry_of(PULSE), targets={chain: frozenset()})
    assert matches(query, entry_of(PULSE | {"status": "amended"}), targets={chain: frozenset()})
    for text in ("patient.family sw lop or status eq final", "not (patient.family sw lop)"):
        assert not matches(parse("Observation", [("_filter", text)]), entry_of(PULSE))


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("", 1, "search parameter is expected"),
        ("family", 7, "no comparison"),
        ("family is x", 8, "no comparison"),
        ("family eq", 10, "A blank is missing"),
        ("family eq ", 11, "A value is missing"),
        ('family eq "x', 11, "not closed"),
        ('family eq "x\\q"', 11, "no JSON string"),
        ("family eq x and", 13, "not expected"),
        ("family eq x and ", 17, "expected instead of the end"),
        ("family eq x given eq y", 13, "'given eq y' is not expected"),
        ("(family eq x", 13, "')' is missing"),
        ("family eq x)", 12, "not expected"),
        ("not family eq x", 5, "not in parentheses"),
        ("famly eq x", 1, "no search parameter 'famly'"),
        ("gender eq male and nickname eq x", 20, "no search parameter 'nickname'"),
        ("birthdate co 1981", 11, "'co' does not compare a date"),
        ("birthdate ge soon", 14, "not a date"),
        ("family pr maybe", 11, "true or false"),
        ("family gt a", 8, "does not compare a string"),
        ("gender eq a|b|c", 11, "A token is"),
        ("_id gt 1", 5, "does not compare an id"),
        ("name[use eq official].given eq x", 1, "is no reference"),
        ("name[use eq official] eq x", 22, "the path goes on"),
        ("family.given eq x", 1, "is no reference"),
        ("organization.nickname eq x", 14, "Nothing that 'organization' points at"),
        ("family eq x or [", 16, "expected instead of '['"),
        ("organization[name eq x.name eq y", 29, "']' is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_character(text: str, at: int, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse("Patient", [("_filter", text)])
    assert told in refused.value.text
    assert f"at character {at} of _filter" in refused.value.text, refused.value.text
    assert refused.value.expression == "_filter"
    assert refused.value.hint


@pytest.mark.parametrize("text", ["code-value-quantity eq a$1", "_text co word"])
def test_what_is_known_and_not_offered_is_refused_by_name(text: str) -> None:
    with pytest.raises(Unsupported, match="character"):
        parse("Observation", [("_filter", text)])


def test_length_depth_and_number_have_bounds() -> None:
    holds(LOPEZ, "(" * DEPTH_MAX + "family sw l" + ")" * DEPTH_MAX)
    with pytest.raises(Invalid, match="too deeply"):
        holds(LOPEZ, "(" * 3000 + "family sw l" + ")" * 3000)
    with pytest.raises(Invalid, match="too deeply"):
        holds(LOPEZ, "organization[" * 100)
    holds(LOPEZ, " or ".join(["family sw l"] * TESTS_MAX))
    with pytest.raises(Invalid, match="more than"):
        holds(LOPEZ, " or ".join(["family sw l"] * (TESTS_MAX + 1)))
    with pytest.raises(Invalid, match="at most"):
        holds(LOPEZ, "family sw " + "l" * 10_000)
    with pytest.raises(Invalid, match="more than 4 steps"):
        holds(LOPEZ, "organization.partof.partof.partof.partof.name eq x")


TESTS = ("family sw lop", "gender eq male", "birthdate ge 1981", "death-date pr true", "given eq marie", "identifier eq nothing")


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.tuples(st.sampled_from(("and", "or")), st.lists(inner, min_size=2, max_size=3))
    return st.tuples(st.just("not"), inner) | several


TREES = st.recursive(st.sampled_from(TESTS), nested, max_leaves=12)


def written(tree: Any) -> str:
    if isinstance(tree, str):
        return tree
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    return "(" + f" {tree[0]} ".join(written(one) for one in tree[1]) + ")"


def decided(tree: Any) -> bool:
    if isinstance(tree, str):
        return holds(LOPEZ, tree)
    if tree[0] == "not":
        return not decided(tree[1])
    return (all if tree[0] == "and" else any)(decided(one) for one in tree[1])


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_and_or_and_not_mean_what_they_say(tree: Any) -> None:
    assert holds(LOPEZ, written(tree)) is decided(tree)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='family eq"()[].not andor co\\ \t|:1é', max_size=60))
def test_whatever_is_written_is_read_or_refused_by_name(text: str) -> None:
    try:
        parse("Patient", [("_filter", text)])
    except CloisterError as refused:
        told = refused
    else:
        return
    assert told.text.endswith(".")
    assert told.expression == "_filter"
