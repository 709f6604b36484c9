"""An import's shorter way, an element at a time, comes to the same as the long one, or leaves it to the long one."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_validation import BAD, GOOD, JSON

from cloister.base.errors import CloisterError
from cloister.demo import portions
from cloister.records.definitions import load
from cloister.records.draft import Draft
from cloister.records.elements import Elements, Parts, bundle_in_parts
from cloister.records.fhir.references import rewrite
from cloister.records.validation import check
from cloister.records.validation.shapes import shape

ID = "3f0e2c9a-0f0b-4a6e-9d1c-2b7c5f4e8a11"


@functools.cache
def entries() -> tuple[dict[str, Any], ...]:
    return tuple(entry for portion in portions(4, 7, hospital="saint-roch") for entry in portion.bundle["entry"])


@functools.cache
def made_up() -> tuple[dict[str, Any], ...]:
    return tuple(entry["resource"] for entry in entries())


@functools.cache
def all_places() -> dict[str, str]:
    return {entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries()}


def sent(resource: dict[str, Any]) -> Parts:
    body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {}, "resource": resource}]})
    bundle = bundle_in_parts(body.encode())
    assert bundle is not None
    parts: Parts = bundle["entry"][0]["resource"]
    return parts


def the_long_way(resource: dict[str, Any], places: dict[str, str]) -> Draft | None:
    resource = copy.deepcopy(resource)
    try:
        if rewrite(resource, places):
            return None
        check(resource)
    except CloisterError:
        return None
    return Draft(resource, ID)


def told(draft: Draft) -> tuple[Any, ...]:
    return draft.type, draft.content, draft.raw(3, b"2026-11-29T12:00:00.000Z"), draft.values, list(draft.values), draft.patient


def agree(elements: Elements, resource: dict[str, Any], places: dict[str, str]) -> None:
    """Twice, because the second time everything is known."""
    expected = the_long_way(resource, places)
    elements.begin(places)
    for _ in range(2):
        drafted = elements.draft(sent(resource), ID)
        if expected is None:
            assert drafted is None
        elif drafted is not None:  # it may always leave one to the long way
            assert told(drafted[0]) == told(expected)
            check(copy.deepcopy(drafted[1]))


@pytest.mark.parametrize("resource", [one for one in GOOD if "resourceType" in one])
def test_what_is_right_is_drafted_the_same(resource: dict[str, Any]) -> None:
    agree(Elements(), resource, {})


@pytest.mark.parametrize("resource", [one for one, *_ in BAD if isinstance(one, dict) and isinstance(one.get("resourceType"), str)])
def test_what_is_wrong_is_left_to_the_way_that_says_so(resource: dict[str, Any]) -> None:
    if resource["resourceType"] in load().types:
        assert Elements().draft(sent(resource), ID) is None


def test_a_hospitals_records_all_go_the_short_way() -> None:
    elements = Elements()
    for resource in made_up():
        agree(elements, resource, all_places())
        assert elements.draft(sent(resource), ID) is not None


def test_a_reference_means_what_it_means_in_its_own_transaction() -> None:
    elements = Elements()
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "urn:uuid:1"}}
    for target in ("Patient/a", "Patient/b"):
        elements.begin({"urn:uuid:1": target})
        drafted = elements.draft(sent(resource), ID)
        assert drafted is not None
        assert drafted[1]["subject"] == {"reference": target}
    elements.begin({})
    assert elements.draft(sent(resource), ID) is None


def test_what_is_remembered_has_a_bound() -> None:
    elements = Elements(bytes_max=50_000)
    for number in range(200):
        elements.begin({})
        assert elements.draft(sent({"resourceType": "Basic", "code": {"text": f"code {number}"}}), ID) is not None
    assert elements._bytes < 60_000
    elements.close()
    assert not elements._known


@pytest.mark.parametrize("type", load().types)
def test_every_shape_of_the_standard_is_known(type: str) -> None:
    left, seen = [type], set()
    while left:
        name = left.pop()
        seen.add(name)
        left += {element.child for element in shape(name).elements.values() if element.child} - seen


@settings(max_examples=150, deadline=None)
@given(number=st.integers(0, 10_000), data=st.data())
def test_records_that_were_tampered_with_are_judged_the_same(number: int, data: st.DataObject) -> None:
    resource = copy.deepcopy(made_up()[number % len(made_up())])
    node: Any = resource
    while True:  # somewhere in it, something else
        name = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        inner = node[name]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            node = inner
            continue
        if name not in ("resourceType", "id"):
            node[name] = data.draw(JSON)
        break
    agree(Elements(), resource, all_places())
