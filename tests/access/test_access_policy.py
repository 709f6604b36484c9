"""Every role, every action, every kind of resource: what is permitted is exactly what this table says."""

from __future__ import annotations

import itertools
from pathlib import Path

import cedarpy
import pytest

from cloister.access import ESTATE, PAGE, Action, Actor, Compartment, Facts, Page, Permit, Policy, Purpose, Reason, read_policy
from cloister.access.kinds import CLINICAL, DEFINITION, GROUPS, NURSING, REGISTER, RESOURCE_TYPES
from cloister.access.policy import FOLDER
from cloister.access.reason import SENTENCES
from cloister.base.errors import Corrupt, Denied
from cloister.identity import Role

READS = {Action.READ, Action.VREAD, Action.SEARCH, Action.HISTORY, Action.VIEW}
WRITES = {Action.WRITE, Action.CREATE, Action.UPDATE, Action.DELETE}
OFFICES = {Role.ACCESS_OFFICER, Role.CERTIFICATE_OFFICER, Role.PRIVACY_OFFICER, Role.MANAGEMENT, Role.IT_OPERATOR}
POLICY = read_policy()


def somebody(role: str, language: str = "en") -> Actor:
    return Actor(person="p-1", name="Adèle Martin", role=role, hospital="saint-roch", session="s-1", language=language)


def ask(role: str, action: str, facts: Facts, language: str = "en") -> str:
    """'' for a permit, the reason otherwise."""
    try:
        POLICY.decide(somebody(role, language), action, facts)
    except Denied as denied:
        return denied.reason
    return ""


def expected(role: Role, action: Action, kind: str) -> str:
    """The table, written again without Cedar."""
    if action is Action.LOOK_CIPHERTEXT:
        return "" if role is Role.IT_OPERATOR else Reason.OPERATORS_ONLY
    if role in OFFICES:
        return Reason.ROLE_NOT_CLINICAL
    if role is Role.PROGRAM or action in READS:
        return ""
    if kind in REGISTER | DEFINITION:
        return Reason.REGISTER_READ_ONLY
    if kind == "AuditEvent":
        return Reason.AUDIT_READ_ONLY
    return "" if role is Role.DOCTOR or kind in NURSING else Reason.WRITE_BY_DOCTORS


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_each_role_may_do_to_each_resource_type_what_the_table_says(role: Role, action: Action) -> None:
    found = {kind: ask(role, action, Facts(kind=kind)) for kind in RESOURCE_TYPES}
    assert found == {kind: expected(role, action, kind) for kind in RESOURCE_TYPES}


PAGES = {
    Page.START: {Role.DOCTOR, Role.NURSE, *OFFICES},
    Page.ACCOUNT: {Role.DOCTOR, Role.NURSE, *OFFICES},
    Page.REFUSALS: {Role.ACCESS_OFFICER, Role.IT_OPERATOR},
    Page.NETWORK: {Role.DOCTOR, Role.NURSE, *OFFICES},
    Page.CHART: {Role.DOCTOR, Role.NURSE},
    Page.CONSOLE: {Role.IT_OPERATOR},
    Page.ASKING: {Role.DOCTOR, Role.NURSE},
    Page.CERTIFYING: {Role.CERTIFICATE_OFFICER},
    Page.GRANTING: {Role.ACCESS_OFFICER},
    Page.PRIVACY: {Role.PRIVACY_OFFICER},
    Page.RECOVERY: {Role.CERTIFICATE_OFFICER, Role.IT_OPERATOR, Role.ACCESS_OFFICER, Role.MANAGEMENT},
}


@pytest.mark.parametrize(("role", "page", "action"), list(itertools.product(Role, Page, Action)))
def test_each_role_sees_its_own_pages(role: Role, page: Page, action: Action) -> None:
    found = ask(role, action, Facts(kind=PAGE, page=page))
    if action is Action.LOOK_CIPHERTEXT:
        assert (found == "") == (role is Role.IT_OPERATOR)
    else:
        assert (found == "") == (action in READS and role in PAGES[page])


def test_the_it_operator_looks_at_ciphertext_and_the_doctor_does_not() -> None:
    assert ask(Role.IT_OPERATOR, Action.LOOK_CIPHERTEXT, Facts(kind=ESTATE)) == ""
    assert ask(Role.DOCTOR, Action.LOOK_CIPHERTEXT, Facts(kind=ESTATE)) == Reason.OPERATORS_ONLY
    assert ask(Role.IT_OPERATOR, Action.READ, Facts(kind=ESTATE)) == Reason.NOT_PERMITTED


@pytest.mark.parametrize("role", [Role.DOCTOR, Role.NURSE])
@pytest.mark.parametrize("action", sorted(READS))
def test_a_clinician_reads_for_treatment_only(role: Role, action: Action) -> None:
    assert ask(role, action, Facts(kind="Observation", purpose=Purpose.TREATMENT)) == ""
    assert ask(role, action, Facts(kind="Observation", purpose=Purpose.OPERATIONS)) == Reason.PURPOSE_NOT_TREATMENT


def test_a_program_works_for_treatment_and_operations_and_nothing_else() -> None:
    for purpose in Purpose:
        assert ask(Role.PROGRAM, Action.READ, Facts(kind="Patient", purpose=purpose)) == ""
    assert ask(Role.PROGRAM, Action.READ, Facts(kind="Patient", purpose="HMARKT")) == Reason.NOT_PERMITTED


@pytest.mark.parametrize("compartment", list(Compartment))
def test_zones_and_compartment_are_part_of_the_question(compartment: Compartment) -> None:
    facts = Facts(kind="Observation", zones=frozenset({"saint-roch"}), compartment=compartment)
    assert ask(Role.NURSE, Action.CREATE, facts) == ""


def test_what_nobody_has_heard_of_is_refused_by_name() -> None:
    assert ask("surgeon-general", Action.READ, Facts(kind="Patient")) == Reason.ROLE_UNKNOWN
    assert ask(Role.DOCTOR, "peek", Facts(kind="Patient")) == Reason.ACTION_UNKNOWN
    assert ask(Role.DOCTOR, Action.READ, Facts(kind="Pateint")) == Reason.KIND_UNKNOWN
    assert ask(Role.DOCTOR, Action.VIEW, Facts(kind=PAGE, page="secret-page")) == Reason.NOT_PERMITTED


def test_a_refused_nurse_reads_why_and_what_next_in_her_language() -> None:
    with pytest.raises(Denied) as english:
        POLICY.decide(somebody(Role.NURSE), Action.CREATE, Facts(kind="MedicationRequest"))
    with pytest.raises(Denied) as french:
        POLICY.decide(somebody(Role.NURSE, "fr"), Action.CREATE, Facts(kind="MedicationRequest"))
    assert english.value.text == "Nurses read this, and doctors write it."
    assert french.value.text.startswith("Les infirmiers")
    assert english.value.hint
    assert french.value.hint
    assert english.value.reason == french.value.reason == Reason.WRITE_BY_DOCTORS


def test_a_permit_says_which_rule_gave_it() -> None:
    permit = POLICY.decide(somebody(Role.NURSE), Action.CREATE, Facts(kind="Observation"))
    assert permit == Permit(role="nurse", action="create", kind="Observation", purpose="TREAT", rules=("nurse-writes",))


def test_a_decision_is_remembered_and_the_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = read_policy()
    facts = Facts(kind="Observation")
    assert policy.decide(somebody(Role.NURSE), Action.READ, facts) is policy.decide(somebody(Role.NURSE), Action.READ, facts)
    monkeypatch.setattr("cloister.access.policy.DECISIONS_MAX", 3)
    for number in range(10):
        policy.decide(somebody(Role.NURSE), Action.READ, Facts(kind="Observation", zones=frozenset({f"ward-{number}"})))
    assert len(policy._decisions) <= 3


def test_the_policies_fit_their_schema() -> None:
    text = "\n".join(file.read_text() for file in sorted(FOLDER.glob("*.cedar")))
    checked = cedarpy.validate_policies(text, (FOLDER / "cloister.cedarschema").read_text())
    assert checked.validation_passed, checked.errors


def test_a_policy_that_cannot_be_read_or_gives_an_unknown_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        Policy("permit everything, please")
    with pytest.raises(Corrupt):
        Policy('@id("because") forbid (principal, action, resource);')
    with pytest.raises(Corrupt):
        read_policy(tmp_path)


def test_every_reason_has_a_sentence_in_english_and_french() -> None:
    for reason in Reason:
        for language in ("en", "fr"):
            text, hint = SENTENCES[reason][language]
            assert text.endswith(".")
            assert hint.endswith(".")


def test_every_resource_type_of_r4_is_in_exactly_one_group() -> None:
    assert len(RESOURCE_TYPES) == 146 == sum(len(kinds) for kinds in GROUPS.values())
    assert NURSING < CLINICAL
