"""`:in`, `:not-in`, `:below`, `:above` on codes, and their words in `_filter`. http://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from profiles_cast import FEVERS, loaded
from terms_cast import ILL_SYSTEM, ILLS, value_set

from cloister.base.errors import Invalid
from cloister.records.search import IndexEntry, extract, matches, parse

SNOMED = value_set("snomed", {"system": "http://snomed.info/sct"})


@pytest.fixture(scope="module", autouse=True)
def _codes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with loaded(tmp_path_factory.mktemp("packs"), ILL_SYSTEM, FEVERS, SNOMED):
        yield


def found(name: str, value: str, code: str = "A21", type: str = "Condition") -> bool:
    resource: dict[str, Any] = {"resourceType": "Condition", "code": {"coding": [{"system": ILLS, "code": code}]}}
    if type == "Patient":
        resource = {"resourceType": "Patient", "gender": "female"}
    query = parse(type, [(name, value)], strict=True)
    return matches(query, IndexEntry(type, "1", 1, 0, extract(resource)))


@pytest.mark.parametrize(
    ("name", "value", "code", "expected"),
    [
        ("code:in", FEVERS["url"], "A21", True),
        ("code:in", FEVERS["url"], "A1", False),
        ("code:not-in", FEVERS["url"], "A1", True),
        ("code:not-in", FEVERS["url"], "A2", False),
        ("code:below", f"{ILLS}|A", "A21", True),
        ("code:below", f"{ILLS}|A21", "A2", False),
        ("code:below", f"{ILLS}|B,{ILLS}|A2", "A21", True),
        ("code:above", f"{ILLS}|A21", "A", True),
        ("code:above", f"{ILLS}|A2", "A21", False),
        ("_filter", f'code sb "{ILLS}|A"', "A1", True),
        ("_filter", f'code ss "{ILLS}|A21"', "A1", False),
        ("_filter", f'code in "{FEVERS["url"]}"', "A2", True),
        ("_filter", f'code ni "{FEVERS["url"]}"', "A2", False),
    ],
)
def test_what_is_loaded_says_what_is_meant(name: str, value: str, code: str, expected: bool) -> None:
    assert found(name, value, code) is expected


def test_codes_without_a_system_of_their_own_are_found_too() -> None:
    assert found("gender:in", "http://hl7.org/fhir/ValueSet/administrative-gender", type="Patient")
    assert found("gender:below", "http://hl7.org/fhir/administrative-gender|female", type="Patient")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("code:in", "https://codes.example/ValueSet/absent", "not-loaded"),
        ("code:in", SNOMED["url"], "not-loaded"),
        ("code:below", f"{ILLS}|Z", "unknown-code"),
        ("code:below", "A", ""),
        ("code:in", "http://hl7.org/fhir/ValueSet/ucum-units", "not-listable"),
    ],
)
def test_what_nothing_loaded_tells_is_refused_with_what_to_do(name: str, value: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        found(name, value)
    assert refused.value.reason == reason
    assert refused.value.hint
    assert refused.value.expression == name
