"""What somebody learns who has the database and, as a member of the zone, its index key: only what SECURITY.md says."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from journeys_cast import PSYCHIATRIC_NURSE, Administrator, Company, condition, created, observation, patient, reference, word
from running_trust import RunningTrust
from test_two_people_on_one_server import Hijacked

from cloister.base.clock import system_clock
from cloister.records import parse
from cloister.records.search.entry import UNIT
from cloister.records.tokens import Tokens, groups_of
from cloister.server.opening import opened
from cloister.zones import Keyring, unlockers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can speak to the gate as a session")

SYSTEM: Final = "https://numbers.example/patients"
ICD: Final = "http://hl7.org/fhir/sid/icd-10"
WARD: Final = "sainte-anne-tilleuls"


@pytest.fixture(scope="module")
def keyring(trust: RunningTrust, administrator: Administrator) -> Keyring:
    """Élise's own, as her session would open it."""
    elise = trust.person(sign_in=PSYCHIATRIC_NURSE)
    hijacked = Hijacked(trust, administrator, PSYCHIATRIC_NURSE)
    ((_, rows),) = hijacked.say(("trust_material", {}))
    unlocker = next(one for one in rows["unlockers"] if one["kind"] == "passphrase")
    kek, _ = unlockers.passphrase_secrets(elise["passphrase"], unlocker["params"])
    return opened(
        rows, person=rows["person"]["id"], session="s", unlocker=unlocker["id"], kek=kek, trust=administrator.roots, now=system_clock()
    ).keyring


class Guesser:
    """Has the zone's index key and every stored token."""

    def __init__(self, keyring: Keyring, administrator: Administrator) -> None:
        self._tokens = Tokens(keyring)
        rows = administrator.rows("select unnest(toks) as tok from care.zidx where zone = $1", WARD)
        self.stored = {row["tok"] for row in rows}

    def confirms(self, *texts: str) -> list[str]:
        return [text for text in texts if self._tokens.token(WARD, text) in self.stored]


@pytest.fixture(scope="module")
def ines(company: Company) -> dict[str, Any]:
    family = word()
    who = created(
        company.program(1),
        patient(family, "Inès", "1949-12-24", identifier=[{"system": SYSTEM, "value": family[::-1]}]),
        **{"cloister-zone": WARD},
    )
    created(company.program(1), condition(reference(who), "F32.1", family))
    created(company.program(1), observation(reference(who), "74774-1"))
    return who


def test_an_identifier_can_be_confirmed_by_an_insider_with_the_database(
    ines: dict[str, Any], keyring: Keyring, administrator: Administrator
) -> None:
    """The honest limit; it also shows that the guesser below is not blind."""
    value = ines["identifier"][0]["value"]
    (group,) = groups_of(parse("Patient", [("identifier", f"{SYSTEM}|{value}")])) or [[]]
    assert Guesser(keyring, administrator).confirms(*group)
    compound = groups_of(parse("Patient", [("birthdate", "1949-12-24"), ("family", ines["name"][0]["family"])]))
    assert compound is not None
    assert Guesser(keyring, administrator).confirms(*compound[0])


def test_no_name_birth_date_gender_code_or_patient_can(ines: dict[str, Any], keyring: Keyring, administrator: Administrator) -> None:
    family = ines["name"][0]["family"]
    for query in (
        ("Patient", [("name", family)]),
        ("Patient", [("birthdate", "1949-12-24")]),
        ("Patient", [("gender", "female")]),
        ("Condition", [("code", f"{ICD}|F32.1")]),
        ("Condition", [("patient", ines["id"])]),
        ("Condition", [("clinical-status", "active")]),
        ("Observation", [("code", "http://loinc.org|74774-1")]),
        ("Observation", [("date", "2026")]),
    ):
        assert groups_of(parse(*query)) is None, query
    values = [
        family,
        family.lower(),
        family[:3].lower(),
        "Inès",
        "ines",
        "ine",
        "1949-12-24",
        "1949-12",
        "1949",
        "female",
        "F32.1",
        "74774-1",
    ]
    values += [f"{ICD}{UNIT}F32.1", f"http://loinc.org{UNIT}74774-1", f"{ICD}|F32.1", reference(ines), ines["id"], "active"]
    names = (
        "name",
        "family",
        "given",
        "birthdate",
        "gender",
        "code",
        "patient",
        "subject",
        "clinical-status",
        "status",
        "category",
        "_id",
        "date",
    )
    texts = [f"{kind}.{name}|{value}" for kind in ("Patient", "Condition", "Observation") for name in names for value in values]
    assert Guesser(keyring, administrator).confirms(*texts) == []


def test_only_what_is_looked_for_across_patients_has_tokens_at_all(ines: dict[str, Any], administrator: Administrator) -> None:
    from cloister.records.definitions import load

    types = load().types
    found = {
        types[row["rtype"]]
        for row in administrator.rows(
            "select distinct rtype from care.zidx where zone = $1 and dossier = $2 and cardinality(toks) > 0",
            WARD,
            administrator.dossier_of(reference(ines)),
        )
    }
    assert found
    assert not found & {"Condition", "Observation", "MedicationRequest", "AllergyIntolerance"}, found
