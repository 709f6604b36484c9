"""Quantities, moments, periods and references that are told by their form come to the same as those that are read and checked."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_elements import ID, agree, sent, the_long_way, told

from cloister.base.errors import Invalid
from cloister.records.elements import Elements, bundle_in_parts
from cloister.records.fhir.references import rewrite
from cloister.records.fhir.text import decode

PLACES = {"urn:uuid:3f0e2c9a-0f0b-4a6e-9d1c-2b7c5f4e8a12": "Encounter/3f0e2c9a-0f0b-4a6e-9d1c-2b7c5f4e8a12"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
NUMBERS = [
    "5", "0", "-0", "-0.0", "-0.00", "5.40", "5.4", "175.76424330547442", "1e3", "1.5E-3", "0.0000001", "0.00000010",
    "12345678901234567890", "100000000000000000000.0", "0.1000000000000000000001", "05",
    "5.", "+5", ".5", "null", '"5"', "[5]", "{}", "123456789012345",
    "99999.99999", "1e400", "1" * 65, "0." + "0" * 63 + "1", "-0." + "12" * 31,
]  # fmt: skip
AROUND = [
    ('{"value":', ',"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}'),
    ('{"unit":"cm","value":', "}"),
    ('{ "value" : ', ' , "unit": "cm" }'),
    ('{"value":', ',"value":7}'),
    ('{"value":7,"value":', "}"),
    ('{"value":', ',"code":"cm"}'),
    ('{"extension":[{"url":"http://a.example","valueQuantity":{"value":1}}],"value":', "}"),
    ('{"value":', ',"extension":[{"url":"http://a.example","valueQuantity":{"value":1}}]}'),
    ('{"unit":"a\\"b","value":', "}"),
    ('{"value":', ',"\\u0076alue":7}'),
    ('{"value":', ',"unit":"a\\"value\\":1"}'),
    ('{"comparator":"<","value":', ',"unit":"mg"}'),
    ('{"value":', ',"colour":"red"}'),
]
MOMENTS = [
    "2026-11-29T12:00:00Z", "2026-02-28T23:59:59.123+01:00", "2026-02-29T12:00:00Z", "2024-02-29T12:00:00Z", "2026-11-30T12:00:00-13:59",
    "2026-11-31T12:00:00Z", "2026-12-31T12:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1000-01-01T00:00:00Z",
    "2026-11-29T24:00:00Z", "2026-11-29T12:00:60Z", "2026-11-29T12:00Z", "2026-11-29T12:00:00", "2026-11-29", "2026-11", "2026",
    "2026-13-01T00:00:00Z", "2026-11-29T12:00:00+14:00", "2026-11-29T12:00:00.123456789Z", "2026-11-29T12:00:00.1234567890Z", "", " ",
    "2026-11-29t12:00:00z", "２026-11-29T12:00:00Z",
]  # fmt: skip
REFERENCES = [
    *PLACES, "Encounter/1", "urn:uuid:00000000-0000-4000-8000-000000000000", "Encounter?identifier=1", "#a", "https://a.example/Encounter/1",
    "Patient/1", "Encounter/1/_history/2", "", " ", "Encounter/é", "Encounter/a\\b", 'Encounter/"', "Encounter/1\x7f", "x" * 500,
]  # fmt: skip


def raw_observation(**elements: str) -> dict[str, Any]:
    """What `json.dumps` could not write: members as they are sent."""
    return {"resourceType": "Observation", "status": "final", "code": CODE, **{name: Text(text) for name, text in elements.items()}}


class Text(str):
    """JSON as it stands."""


def written(resource: dict[str, Any]) -> str:
    members = [f"{json.dumps(name)}:{value if isinstance(value, Text) else json.dumps(value)}" for name, value in resource.items()]
    return "{" + ",".join(members) + "}"


def both(elements: Elements, text: str) -> None:
    """The short way twice, the second time with everything known, beside the long way. What cannot be read has no short way: no JSON, or
    a number with more digits, or larger, than this record keeps (a decimal of FHIR has at most 18)."""
    body = text.encode()
    try:
        expected = the_long_way(json.loads(text) and decode(body), PLACES)
    except (json.JSONDecodeError, Invalid):
        expected = None
    bundle = bundle_in_parts(b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{},"resource":%b}]}' % body)
    for _ in range(2):
        drafted = elements.draft(bundle["entry"][0]["resource"], ID) if bundle is not None else None
        if expected is None:
            assert drafted is None, text
        elif drafted is not None:  # it may always leave one to the long way
            assert told(drafted[0]) == told(expected)
            resource = decode(body)
            rewrite(resource, PLACES)
            assert drafted[1] == resource


@pytest.mark.parametrize("around", AROUND)
def test_a_number_in_a_known_quantity_is_as_if_it_had_been_read(around: tuple[str, str]) -> None:
    elements = Elements()
    elements.begin(PLACES)
    for number in [*NUMBERS, *NUMBERS[::-1]]:
        both(elements, written(raw_observation(valueQuantity=around[0] + number + around[1])))


@example(Decimal("-1E-70"), AROUND[0])
@example(Decimal("1E+400"), AROUND[1])
@given(st.decimals(allow_nan=False, allow_infinity=False, places=None), st.sampled_from(AROUND))
@settings(max_examples=150)
def test_any_number(number: Any, around: tuple[str, str]) -> None:
    elements = Elements()
    elements.begin(PLACES)
    for text in ("5.5", f"{number:f}", str(number), "7"):
        both(elements, written(raw_observation(valueQuantity=around[0] + text + around[1])))


def test_moments_and_periods() -> None:
    elements = Elements()
    elements.begin(PLACES)
    for first in MOMENTS:
        text = json.dumps(first, ensure_ascii=False)
        both(elements, written(raw_observation(effectiveDateTime=text)))
        both(elements, written(raw_observation(issued=text)))
        both(elements, written(raw_observation(effectivePeriod=f'{{"start":{text}}}')))
        for second in MOMENTS:
            both(elements, written(raw_observation(effectivePeriod=f'{{"start":{text},"end":{json.dumps(second, ensure_ascii=False)}}}')))


def test_references() -> None:
    elements = Elements()
    elements.begin(PLACES)
    shown = [json.dumps(one, ensure_ascii=False) for one in REFERENCES]
    for text in shown:
        both(elements, written(raw_observation(encounter=f'{{"reference":{text}}}')))
        both(elements, written(raw_observation(encounter=f'{{"reference":{text},"display":"x"}}')))
        for other in shown:
            both(elements, written(raw_observation(hasMember=f'[{{"reference":{text}}},{{"reference":{other}}}]')))


def test_amounts_of_money_share_what_stands_around_them() -> None:
    elements = Elements()
    for amount in ("129.16", "0.00", "-3", "129.16"):
        text = f'{{"value":{amount},"currency":"EUR"}}'
        resource = {"resourceType": "Invoice", "status": "issued", "totalNet": json.loads(text)}
        agree(elements, resource, {})
        drafted = elements.draft(sent(resource), ID)
        assert drafted is not None


def test_numbers_are_not_remembered_one_by_one() -> None:
    elements = Elements()
    elements.begin({})
    sizes = []
    for number in range(50):
        resource = raw_observation(valueQuantity=json.dumps({"value": number + 0.5, "unit": "cm"}))
        both(elements, written(resource))
        sizes.append(elements._bytes)
    assert sizes[0] == sizes[-1]
