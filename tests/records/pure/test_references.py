"""A transaction's entries point at each other by full URL; once stored, everything points by type and id."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cloister.base.errors import Invalid
from cloister.records.fhir.references import localise, references, rewrite, without_searches

LOPEZ = "urn:uuid:018f428e-34f6-4707-8009-5ad742f901e7"
ADELE = "Practitioner?identifier=urn:rpps|10001"
NOTE: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "subject": {"reference": LOPEZ, "display": LOPEZ},
    "author": [{"reference": ADELE}, {"reference": "Practitioner/2"}],
    "content": [{"attachment": {"url": LOPEZ}}],
    "extension": [{"url": "urn:x", "valueReference": {"reference": "urn:uuid:unknown"}}],
    "identifier": [{"value": LOPEZ}],
}


def test_every_reference_is_found_wherever_it_stands() -> None:
    assert sorted(text for _, text in references(NOTE)) == sorted([LOPEZ, ADELE, "Practitioner/2", "urn:uuid:unknown"])


def test_references_become_literal_and_nothing_else_changes() -> None:
    note = copy.deepcopy(NOTE)
    unknown = rewrite(note, {LOPEZ: "Patient/lopez", ADELE: "Practitioner/adele"})
    assert unknown == ["urn:uuid:unknown"]
    assert note["subject"] == {"reference": "Patient/lopez", "display": LOPEZ}
    assert note["author"] == [{"reference": "Practitioner/adele"}, {"reference": "Practitioner/2"}]
    assert note["content"][0]["attachment"]["url"] == "Patient/lopez"
    assert note["identifier"] == [{"value": LOPEZ}]


def test_what_is_not_in_the_bundle_is_told() -> None:
    assert sorted(rewrite(copy.deepcopy(NOTE), {})) == sorted([LOPEZ, ADELE, "urn:uuid:unknown"])


def test_our_own_address_is_left_out_of_references() -> None:
    base = "https://trust.example/fhir/R4"
    note = {"subject": {"reference": f"{base}/Patient/lopez"}, "author": [{"reference": "https://trust.example/fhir/R4b/Practitioner/2"}]}
    localise(note, base)
    assert note == {"subject": {"reference": "Patient/lopez"}, "author": [{"reference": "https://trust.example/fhir/R4b/Practitioner/2"}]}


def test_depth_without_end_is_refused() -> None:
    resource: dict[str, Any] = {"reference": LOPEZ}
    for _ in range(3000):
        resource = {"extension": [resource]}
    with pytest.raises(Invalid):
        rewrite(resource, {})
    assert [text for _, text in references(resource)] == [LOPEZ]


def test_links_of_a_narrative_follow_and_its_words_do_not() -> None:
    note = {"text": {"div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{LOPEZ}">{LOPEZ}</a><img alt="x" src=\'{LOPEZ}\'/></div>'}}
    assert rewrite(note, {LOPEZ: "Patient/lopez"}) == []
    inside = f'<a href="Patient/lopez">{LOPEZ}</a><img alt="x" src=\'Patient/lopez\'/>'
    assert note["text"]["div"] == f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'


def test_a_reference_by_condition_is_refused_where_nothing_would_replace_it() -> None:
    with pytest.raises(Invalid) as refused:
        without_searches(NOTE)
    assert (refused.value.reason, refused.value.expression) == ("conditional-reference", "DocumentReference.author[0].reference")
    without_searches({"resourceType": "Bundle", "entry": [{"resource": NOTE}]})
    without_searches({"resourceType": "Basic", "subject": {"reference": "https://other.example/Patient?x=1"}})
