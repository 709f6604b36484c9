"""Quantities in other units than those asked for: converted where they measure the same, and nowhere else."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from cloister.records.search import IndexEntry, extract, matches, parse
from cloister.records.terminology.ucum_scale import WORTH, conversion, worth

UCUM = "http://unitsofmeasure.org"


def glucose(value: float, code: str, system: str = UCUM) -> IndexEntry:
    quantity: dict[str, Any] = {"value": value, "unit": code, "system": system, "code": code}
    resource = {"resourceType": "Observation", "id": "1", "status": "final", "code": {"text": "x"}, "valueQuantity": quantity}
    return IndexEntry("Observation", "1", 1, 0, extract(resource))


def found(value: str, entry: IndexEntry, name: str = "value-quantity") -> bool:
    return matches(parse("Observation", [(name, value)], strict=True), entry)


@pytest.mark.parametrize(
    ("stored", "unit", "asked"),
    [
        (90, "mg/dL", f"0.90|{UCUM}|g/L"), (90, "mg/dL", f"ge0.9|{UCUM}|g/L"), (0.9, "g/L", f"90|{UCUM}|mg/dL"),
        (90, "mg/dL", f"lt1|{UCUM}|g/L"),
        (37.5, "Cel", f"gt99|{UCUM}|[degF]"), (310.65, "K", f"37.5|{UCUM}|Cel"), (180, "[lb_av]", f"gt80|{UCUM}|kg"),
        (6.1, "10*3/uL", f"6.1|{UCUM}|10*9/L"), (120, "mm[Hg]", f"gt15|{UCUM}|kPa"), (72, "{beats}/min", f"72|{UCUM}|/min"),
        (5, "k[iU]/L", f"5|{UCUM}|[iU]/mL"), (2, "wk", f"14|{UCUM}|d"),
    ],
)  # fmt: skip
def test_what_measures_the_same_is_found_in_any_unit(stored: float, unit: str, asked: str) -> None:
    assert found(asked, glucose(stored, unit))
    value, _, code = asked.rpartition("|")
    number = value.removesuffix(f"|{UCUM}").lstrip("gelt")
    operator = value[: len(value) - len(value.lstrip("gelt"))]
    if operator and "[" not in code:  # a filter ends its brackets there
        assert matches(
            parse("Observation", [("_filter", f"value-quantity {operator} {number}|{UCUM}|{code}")], strict=True), glucose(stored, unit)
        )


@pytest.mark.parametrize(
    ("unit", "asked"),
    [("mmol/L", "g/L"), ("mmol/L", "10*9/L"), ("[iU]/L", "U/L"), ("[pH]", "mol/L"), ("[CFU]/mL", "/mL"), ("kg", "m"),
     ("nonsense", "g"), ("g", "nonsense")],
)  # fmt: skip
def test_what_measures_something_else_is_not(unit: str, asked: str) -> None:
    assert conversion(unit, asked) is None
    assert not found(f"gt0|{UCUM}|{asked}", glucose(5, unit))


def test_units_of_another_system_are_compared_as_they_stand() -> None:
    assert not found(f"gt0|{UCUM}|g", glucose(5, "g", "urn:own"))
    assert found("5|urn:own|g", glucose(5, "g", "urn:own"))
    assert not found("5|urn:own|mg", glucose(0.005, "g", "urn:own"))
    assert found("5||g", glucose(5, "g"))
    assert found(f"5|{UCUM}|nonsense", glucose(5, "nonsense"))


def test_every_unit_with_a_value_leads_to_base_units() -> None:
    assert all(worth(atom) is not None for atom in WORTH)
    assert conversion("[gal_us]", "mL") == (Fraction("3785.411784"), 0)
    assert conversion("[psi]", "Pa") is not None
    assert float(conversion("[psi]", "Pa")[0]) == pytest.approx(6894.757293168)  # type: ignore[index]
    assert conversion("cal", "J") == (Fraction("4.184"), 0)
    assert conversion("V.A", "W") == (1, 0)


@pytest.mark.parametrize(
    "text",
    ["", "m" * 200, "10*999999/L", "m999999999", "((((((((((((((((((m", "/", "m..", "{", "g%9999999999", "0/kg.m", "0"],
)
def test_no_text_breaks_it(text: str) -> None:
    assert conversion(text, "m") is None
