"""FHIRPath Patch: each kind of operation, on lists, choices and what has no type of its own; and what does not fit is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base.errors import Invalid
from cloister.records.fhir.fhirpath_patch import applied
from cloister.records.fhir.pointers import Unpatchable

LOPEZ: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "1",
    "name": [{"family": "Lopez", "given": ["Ève", "Marie"], "_given": [None, {"id": "m"}]}, {"use": "nickname", "given": ["Vivi"]}],
    "birthDate": "1971-02-28",
    "deceasedBoolean": False,
    "contact": [{"name": {"text": "a"}, "relationship": [{"text": "mother"}]}],
}


def operation(type: str, path: str, **parts: Any) -> dict[str, Any]:
    named: list[dict[str, Any]] = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name in ("index", "source", "destination"):
            named.append({"name": name, "valueInteger": value})
        else:
            named.append({"name": name, **(value if isinstance(value, dict) else {"valueString": value})})
    return {"name": "operation", "part": named}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    return applied(copy.deepcopy(LOPEZ), {"resourceType": "Parameters", "parameter": list(operations)})


def test_add_fills_what_is_absent_and_appends_to_what_repeats() -> None:
    assert patched(operation("add", "Patient", name="gender", value={"valueCode": "female"}))["gender"] == "female"
    names = patched(operation("add", "Patient", name="name", value={"valueHumanName": {"family": "X"}}))["name"]
    assert names[2] == {"family": "X"}
    given = patched(operation("add", "Patient.name[0]", name="given", value={"valueString": "Anne"}))["name"][0]
    assert (given["given"], given["_given"]) == (["Ève", "Marie", "Anne"], [None, {"id": "m"}, None])
    contact = {
        "part": [{"name": "name", "valueHumanName": {"text": "b"}}, {"name": "relationship", "valueCodeableConcept": {"text": "son"}}]
    }
    added = patched(operation("add", "Patient", name="contact", value=contact))["contact"][1]
    assert added == {"name": {"text": "b"}, "relationship": [{"text": "son"}]}
    born = patched(operation("add", "Patient", name="multipleBirth", value={"valueInteger": 2}))
    assert born["multipleBirthInteger"] == 2


def test_replace_delete_insert_and_move_change_the_place_that_the_path_names() -> None:
    assert patched(operation("replace", "Patient.birthDate", value={"valueDate": "1970"}))["birthDate"] == "1970"
    assert patched(operation("replace", "Patient.name.where(use = 'nickname').given[0]", value="Vi"))["name"][1]["given"] == ["Vi"]
    dead = patched(operation("replace", "Patient.deceased", value={"valueDateTime": "2026"}))
    assert dead["deceasedDateTime"] == "2026"
    assert "deceasedBoolean" not in dead
    fewer = patched(operation("delete", "Patient.name[0].given[0]"))["name"][0]
    assert (fewer["given"], fewer["_given"]) == (["Marie"], [{"id": "m"}])
    assert "contact" not in patched(operation("delete", "Patient.contact[0]"))
    assert patched(operation("delete", "Patient.photo")) == LOPEZ
    more = patched(operation("insert", "Patient.name[0].given", index=1, value="Anne"))["name"][0]
    assert (more["given"], more["_given"]) == (["Ève", "Anne", "Marie"], [None, None, {"id": "m"}])
    moved = patched(operation("move", "Patient.name[0].given", source=1, destination=0))["name"][0]
    assert (moved["given"], moved["_given"]) == (["Marie", "Ève"], [{"id": "m"}, None])
    both = patched(operation("delete", "Patient.name.where(given.exists() and use != 'official').last()"))["name"]
    assert len(both) == 1


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (operation("replace", "Patient.photo", value="x"), "no element"),
        (operation("replace", "Patient.name.given", value="x"), "several"),
        (operation("add", "Patient", name="birthDate", value={"valueDate": "1970"}), "already"),
        (operation("add", "Patient", name="nickname", value="x"), "no element 'nickname'"),
        (operation("add", "Patient.birthDate", name="x", value="x"), "nothing inside"),
        (operation("replace", "Patient", value="x"), "as a whole"),
        (operation("replace", "Patient.deceased", value={"valueQuantity": {"value": 1}}), "of that type"),
        (operation("insert", "Patient.birthDate", index=0, value="x"), "one list"),
        (operation("insert", "Patient.name", index=3, value={"valueHumanName": {}}), "no place in this list"),
        (operation("move", "Patient.name", source=2, destination=0), "no place in this list"),
    ],
)
def test_what_does_not_fit_this_resource_is_refused_with_its_place(one: dict[str, Any], told: str) -> None:
    with pytest.raises(Unpatchable, match=told) as refused:
        patched(operation("delete", "Patient.photo"), one)
    assert refused.value.expression.startswith("Parameters.parameter[1]")


@pytest.mark.parametrize(
    "one",
    [
        {"name": "change"},
        operation("rename", "Patient.name"),
        operation("delete", "Patient.name.trace('x')"),
        operation("delete", "Patient.name +"),
        operation("delete", "Patient.name[0"),
        operation("delete", "Patient.name.where(use ~ 'x')"),
        operation("delete", "x" * 5000),
        operation("replace", "Patient.birthDate"),
    ],
)
def test_what_is_no_patch_is_refused(one: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        patched(one)
    with pytest.raises(Invalid):
        applied(copy.deepcopy(LOPEZ), {"resourceType": "Parameters"})


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="Patient.nmgv[]0'(where)=!use ", max_size=60))
def test_whatever_the_path_it_is_walked_or_refused_by_name(path: str) -> None:
    try:
        patched(operation("delete", f"Patient{path}"))
    except Invalid as refused:
        told = refused
    else:
        return
    assert told.text.endswith(".")
