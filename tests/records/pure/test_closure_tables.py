"""Closure tables: what a client keeps so that it can answer is-a by itself. http://hl7.org/fhir/R4/terminology-service.html#closure."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from terms_cast import ILLS, WARDS, sets_of

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.records.interactions.closure import read
from cloister.records.terminology.closure import TABLES_MAX, Closures, Line, Table, concept_map, since
from cloister.records.terminology.coding import Coded, subsumes
from cloister.records.terminology.library import Absent

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
LIBRARY = sets_of().library
CODES = ("A", "A1", "A2", "A21", "B")


def pairs(lines: list[Line]) -> set[tuple[str, str]]:
    return {(line.narrower, line.wider) for line in lines}


def ills(*codes: str) -> list[Coded]:
    return [Coded(ILLS, code) for code in codes]


def under(narrower: str, wider: str) -> bool:
    answer = subsumes(LIBRARY, Coded(ILLS, wider), Coded(ILLS, narrower))
    return bool(answer["parameter"][0]["valueCode"] == "subsumes")


@pytest.mark.parametrize("order", list(permutations(CODES))[::7])
def test_a_table_says_what_subsumes_says_whichever_code_came_first(order: tuple[str, ...]) -> None:
    table = Table("problems", NOW)
    for code in order:
        table.add(LIBRARY, ills(code))
    assert pairs(table.lines) == {(one, other) for one in CODES for other in CODES if one != other and under(one, other)}
    assert len(table.lines) == len(pairs(table.lines))
    together = Table("together", NOW)
    together.add(LIBRARY, ills(*order))
    assert pairs(together.lines) == pairs(table.lines)


def test_each_answer_says_what_is_new_and_a_version_asks_for_the_rest_again() -> None:
    table = Closures().begin("problems", NOW)
    assert concept_map(table, []) == {
        "resourceType": "ConceptMap", "version": "1", "name": "problems", "status": "active", "experimental": True,
        "date": "2026-11-29T08:00:00Z",
    }  # fmt: skip
    assert table.add(LIBRARY, ills("A21")) == []
    made = table.add(LIBRARY, [*ills("A"), Coded(WARDS, "MED")])
    group = {"source": ILLS, "target": ILLS, "element": [{"code": "A21", "target": [{"code": "A", "equivalence": "subsumes"}]}]}
    assert concept_map(table, made)["group"] == [group]
    assert table.add(LIBRARY, ills("A")) == []  # again: nothing is new
    assert table.version == 3
    assert pairs(since(table, "1")) == {("A21", "A")}
    assert since(table, "3") == []
    for odd in ("0", "4", "-1", "x", "٣"):
        with pytest.raises(Invalid):
            since(table, odd)


def test_one_wrong_code_adds_nothing() -> None:
    table = Table("problems", NOW)
    with pytest.raises(NotFound):
        table.add(LIBRARY, ills("A", "A1", "Z"))
    with pytest.raises(Absent):
        table.add(LIBRARY, [*ills("A"), Coded("https://codes.example/none", "A")])
    assert (table.version, table.size, table.lines) == (1, 0, [])


def test_tables_have_names_and_a_bound() -> None:
    closures = Closures()
    with pytest.raises(NotFound) as unknown:
        closures.table("problems")
    assert unknown.value.reason == "closure-unknown"
    for name in ("", "x" * 65, "a\x00b"):
        with pytest.raises(Invalid):
            closures.begin(name, NOW)
    for number in range(TABLES_MAX):
        closures.begin(f"table {number}", NOW)
    closures.begin("table 0", NOW)
    with pytest.raises(Conflict):
        closures.begin("one more", NOW)


def parameters(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parts)}


NAME = {"name": "name", "valueString": "problems"}
CONCEPT = {"name": "concept", "valueCoding": {"system": ILLS, "code": "A"}}


def test_what_is_sent_is_read() -> None:
    assert read(parameters(NAME, CONCEPT, CONCEPT)) == ("problems", [*ills("A"), *ills("A")], None)
    assert read(parameters(NAME, {"name": "version", "valueString": "2"})) == ("problems", [], "2")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "ConceptMap"},
        {"resourceType": "Parameters", "parameter": {}},
        parameters(),
        parameters(NAME, NAME),
        parameters(NAME, {"name": "concept", "valueCode": "A"}),
        parameters(NAME, {"name": "concept", "valueCoding": {"code": "A"}}),
        parameters(NAME, CONCEPT, {"name": "version", "valueString": "1"}),
        parameters(NAME, {"name": "depth", "valueString": "1"}),
        parameters(NAME, *[CONCEPT] * 1001),
    ],
)
def test_what_is_wrong_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(body)
