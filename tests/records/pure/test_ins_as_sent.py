"""The national number on its way out: only with the qualified identity and its strict traits beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from test_ins import qualified

from cloister.records.fhir.sending import as_sent, outgoing
from cloister.records.fhir.subset import Subset
from cloister.records.fhir.text import decode, encode
from cloister.records.search import Query
from cloister.records.stored import Stored

LOCAL = {"system": "https://hospital.example/ipp", "value": "800"}


def stored(resource: dict[str, Any]) -> Stored:
    return Stored(
        resource["resourceType"], "1", 1, datetime(2026, 11, 29, tzinfo=UTC), encode(resource | {"id": "1", "meta": {"versionId": "1"}})
    )


def numbers(resource: dict[str, Any]) -> list[str]:
    return [one["value"] for one in resource.get("identifier", ())]


def patient() -> dict[str, Any]:
    whole = qualified()
    return whole | {"identifier": [*whole["identifier"], LOCAL]}


def test_a_qualified_patient_goes_out_byte_for_byte() -> None:
    one = stored(patient())
    assert outgoing(one) is one.raw


@pytest.mark.parametrize(
    ("query", "goes"),
    [
        (Query(type="Patient", elements=("identifier",)), False),
        (Query(type="Patient", elements=("identifier", "name", "birthDate", "gender")), False),
        (Query(type="Patient", summary="true"), False),
        (Query(type="Patient", elements=("identifier", "name", "birthDate", "gender", "extension")), True),
        (Query(type="Patient", summary="data"), True),
        (Query(type="Patient"), True),
    ],
)
def test_a_part_of_a_patient_goes_without_the_number_unless_the_identity_goes_along(query: Query, goes: bool) -> None:
    number = qualified()["identifier"][0]["value"]
    assert numbers(decode(Subset(query).of(stored(patient())))) == ([number, "800"] if goes else ["800"])


def test_what_was_stored_before_the_rule_goes_without_the_number() -> None:
    for before in (patient() | {"extension": []}, {name: value for name, value in patient().items() if name != "birthDate"}):
        assert numbers(decode(outgoing(stored(before)))) == ["800"]
        assert numbers(stored(before).resource or {}) != ["800"]


def test_people_without_an_identity_status_and_what_is_contained_are_held_to_it() -> None:
    number = qualified()["identifier"]
    for type in ("RelatedPerson", "Person"):
        assert numbers(as_sent({"resourceType": type, "identifier": [*number, LOCAL]})) == ["800"]
        assert "identifier" not in as_sent({"resourceType": type, "identifier": number})
    inside = {"resourceType": "ServiceRequest", "contained": [qualified() | {"extension": []}, qualified()]}
    loose, whole = as_sent(inside)["contained"]
    assert "identifier" not in loose
    assert whole == qualified()
    untouched = {"resourceType": "Observation", "status": "final"}
    assert as_sent(untouched) is untouched
