"""The national health identifier (INS) stands only where the identity is qualified and its strict traits are. All numbers are made up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.records.validation import check, issues_of
from cloister.records.validation.ins import BIRTH_NAMES, BIRTH_PLACE, INSEE, RELIABILITY, faults, key_is_right, without_number

Patient = dict[str, Any]
STATUS = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445"
NEWER = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-identity-status"


def keyed(number: str) -> str:
    return f"{number}{97 - int(number.replace('2A', '19').replace('2B', '18')) % 97:02d}"


def qualified() -> Patient:
    return {
        "resourceType": "Patient",
        "extension": [
            {"url": RELIABILITY, "extension": [{"url": "identityStatus", "valueCoding": {"system": STATUS, "code": "VALI"}}]},
            {"url": BIRTH_PLACE, "valueAddress": {"extension": [{"url": INSEE, "valueCoding": {"code": "49007"}}], "city": "Angers"}},
        ],
        "identifier": [{"use": "official", "system": "urn:oid:1.2.250.1.213.1.4.10", "value": keyed("2810349007001")}],
        "name": [{"use": "official", "family": "DURAND", "given": ["Anne"]}, {"use": "usual", "family": "MARTIN"}],
        "gender": "female",
        "birthDate": "1981-03-12",
    }


def broken(change: Callable[[Patient], object]) -> list[str]:
    patient = copy.deepcopy(qualified())
    change(patient)
    issues = issues_of(patient)
    assert all(one.hint for one in issues)
    assert "28103" not in str([(one.text, one.hint) for one in issues])
    return sorted({one.rule for one in issues})


def status(system: str, code: str) -> Callable[[Patient], object]:
    return lambda p: p["extension"][0]["extension"][0].update(valueCoding={"system": system, "code": code})


def test_a_qualified_identity_with_its_traits_is_taken() -> None:
    assert broken(lambda p: None) == []
    assert broken(lambda p: p.update(gender="unknown")) == []
    assert broken(status(NEWER, "QUAL")) == []
    listed = {"use": "official", "family": "DURAND", "extension": [{"url": BIRTH_NAMES, "valueString": "Anne Louise"}]}
    assert broken(lambda p: p.update(name=[listed])) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda p: p["extension"].pop(0), "ins-qualified"),
        (status(STATUS, "PROV"), "ins-qualified"),
        (status(NEWER, "VALI"), "ins-qualified"),  # there VALI is "validée", which is less
        (lambda p: p["extension"].pop(1), "ins-birth-place"),
        (lambda p: p["extension"][1].update(valueAddress={"city": "Angers"}), "ins-birth-place"),
        (lambda p: p.pop("birthDate"), "ins-birth-date"),
        (lambda p: p.pop("gender"), "ins-sex"),
        (lambda p: p.update(gender="other"), "ins-sex"),
        (lambda p: p["name"][0].pop("family"), "ins-birth-name"),
        (lambda p: p["name"].pop(0), "ins-birth-name"),
        (lambda p: p["name"][0].pop("given"), "ins-given"),
        (lambda p: p["identifier"][0].update(value=keyed("2810349007001")[:-2] + "00"), "ins-key"),
        (lambda p: p["identifier"][0].update(value="2 81 03 49 007 001 00"), "ins-key"),
        (lambda p: p["identifier"][0].pop("value"), "ins-key"),
    ],
)
def test_each_thing_that_is_missing_is_refused_by_its_name(change: Callable[[Patient], object], rule: str) -> None:
    assert broken(change) == [rule]


@pytest.mark.parametrize("last", [2, 8, 9, 10, 11])
def test_every_kind_of_national_number_needs_a_qualified_identity(last: int) -> None:
    value = keyed("2810349007001") if last != 2 else "0" * 22
    number = {"system": f"urn:oid:1.2.250.1.213.1.4.{last}", "value": value}
    assert broken(lambda p: p.update(identifier=[number])) == []
    assert broken(lambda p: (p.update(identifier=[number]), p.pop("extension"))) == ["ins-birth-place", "ins-qualified"]


def test_a_patient_without_such_a_number_is_left_alone() -> None:
    check({"resourceType": "Patient", "identifier": [{"system": "https://hospital.example/ipp", "value": "800"}]})
    check({"resourceType": "Patient", "name": [{"text": "Inconnu"}]})


def test_what_is_sent_on_has_the_number_only_of_a_qualified_identity() -> None:
    whole = qualified()
    assert without_number(whole) is whole
    provisional = qualified() | {"extension": []}
    provisional["identifier"].append({"system": "https://hospital.example/ipp", "value": "800"})
    assert [one["value"] for one in without_number(provisional)["identifier"]] == ["800"]
    assert "identifier" not in without_number(qualified() | {"extension": []})
    assert faults(without_number(provisional)) == []


@pytest.mark.parametrize("number", ["1850720004012", "255082A123456", "155082B123456", "3991299123001", "7051375101001"])
def test_keys_of_made_up_numbers_corsica_among_them(number: str) -> None:
    assert key_is_right(keyed(number))
    for text in (number, keyed(number)[:-1], keyed(number) + "0", keyed(number).lower() if "2A" in number else "x" + keyed(number)[1:]):
        assert not key_is_right(text)


@given(st.from_regex(r"[12][0-9]{4}[0-9]{2}[0-9]{6}", fullmatch=True), st.integers(0, 12), st.integers(0, 9))
def test_one_wrong_digit_is_always_found(number: str, place: int, digit: int) -> None:
    whole = keyed(number)
    other = f"{whole[:place]}{digit}{whole[place + 1 :]}"
    assert key_is_right(whole)
    if other != whole and number.isascii():
        assert not key_is_right(other)
