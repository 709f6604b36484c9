"""A trust's own rules: they only forbid, are signed, are tried by examples, and say why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.access import Action, Actor, Facts, Narrowed, read_policy, read_scopes, rules
from cloister.access.rules.placed import standing_now
from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.records.fhir.outcomes import outcome_of
from cloister.zones import Forged, TrustRoots, algorithms, envelope

SEED = algorithms.random(32)
OTHER = algorithms.random(32)
ROOTS = TrustRoots("trust-1", algorithms.sign_public(OTHER), algorithms.sign_public(SEED), None)  # type: ignore[arg-type]
RADIOLOGIST = Actor(person="p-1", name="Anne Roy", role="doctor", hospital="saint-roch", session="s-1", language="fr")
AT_HOME = rules.Standing(place="home", aal=2, minutes=3)
FORBID = '@id("no-{0}") @en("No.") forbid (principal, action == Action::"{0}", resource);'


def folder_of(tmp_path: Path, text: str = "", examples: str = "") -> Path:
    folder = tmp_path / "policy"
    shutil.copytree(rules.USUAL, folder)
    if text:
        (folder / "rules.cedar").write_text(text)
        (folder / "examples.csv").write_text("role,action,what,address,aal,minutes,answer\n" + examples)
    return folder


def test_the_usual_rules_answer_their_examples() -> None:
    usual = rules.usual()
    assert rules.check_examples(rules.read_examples(usual.examples), usual.rules, usual.networks) >= 20


def test_a_radiologist_at_home_views_and_reports_and_carries_nothing_away() -> None:
    policy = rules.Placed(read_policy(), lambda: rules.usual().rules)
    token = standing_now.set(AT_HOME)
    try:
        policy.decide(RADIOLOGIST, Action.READ, Facts(kind="ImagingStudy"))
        policy.decide(RADIOLOGIST, Action.CREATE, Facts(kind="DiagnosticReport"))
        with pytest.raises(Denied) as denied:
            policy.check(RADIOLOGIST, rules.Act.EXPORT, Facts(kind="Patient"))
    finally:
        standing_now.reset(token)
    assert denied.value.reason == "export-inside"
    assert "l'hôpital" in denied.value.text
    assert "export-inside, version 0" in denied.value.hint


def test_who_writes_a_prescription_signs_it_and_proves_again_after_a_while() -> None:
    policy = rules.Placed(read_policy(), lambda: rules.usual().rules)
    for minutes, refused in ((30, False), (31, True)):
        token = standing_now.set(rules.Standing(place="inside", aal=1, minutes=minutes))
        try:
            policy.decide(RADIOLOGIST, Action.CREATE, Facts(kind="Observation"))
            if refused:
                with pytest.raises(rules.Forbidden) as denied:
                    policy.decide(RADIOLOGIST, Action.CREATE, Facts(kind="MedicationRequest"))
                assert (denied.value.reason, denied.value.remedy) == ("fresh-proof", "step-up")
                # A FHIR client is told the same, and where its person proves again.
                (issue,) = outcome_of(denied.value)["issue"]
                assert issue["details"]["coding"] == [{"code": "fresh-proof"}]
                assert "/account/again" in issue["diagnostics"]
            else:
                policy.decide(RADIOLOGIST, Action.CREATE, Facts(kind="MedicationRequest"))
        finally:
            standing_now.reset(token)


def test_a_narrowed_token_is_held_by_the_same_rules() -> None:
    policy = Narrowed(rules.Placed(read_policy(), lambda: rules.usual().rules), read_scopes("patient/*.rs"))
    token = standing_now.set(replace(AT_HOME, aal=1))
    try:
        with pytest.raises(Denied) as denied:
            policy.decide(RADIOLOGIST, Action.READ, Facts(kind="Observation"))
    finally:
        standing_now.reset(token)
    assert denied.value.reason == "second-factor-away"


def test_what_a_session_does_for_nobodys_request_is_the_programs_policy_alone() -> None:
    rules.Placed(read_policy(), lambda: rules.usual().rules).check(RADIOLOGIST, rules.Act.EXPORT, Facts(kind="Patient"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal, action, resource);", "permits"),
        ('forbid (principal, action == Action::"export", resource);', "no name"),
        ('@id("x-y") forbid (principal, action == Action::"export", resource);', "says nothing"),
        (FORBID.format("export") + FORBID.format("export"), "no name of its own"),
        ('@id("x-y") @en("No.") forbid (principal, action, resource) when { context.weather == "fine" };', "never told"),
        ('@id("x-y") @en("No.") forbid (principal == ?principal, action, resource);', "templates"),
        ("forbid (", "not Cedar"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(Invalid) as invalid:
        rules.Rules(text)
    assert said in invalid.value.text


def test_an_example_that_fails_is_named_by_its_line(tmp_path: Path) -> None:
    text = FORBID.format("export")
    rules.read_folder(folder_of(tmp_path / "good", text, "doctor,export,Patient,10.0.0.1,1,0,no-export\n"), 1)
    with pytest.raises(Invalid) as invalid:
        rules.read_folder(
            folder_of(tmp_path / "bad", text, "doctor,read,Patient,10.0.0.1,1,0,allow\ndoctor,export,Patient,10.0.0.1,1,0,allow\n"),
            1,
        )
    assert invalid.value.text.startswith("Line 3 ")


def test_only_this_trusts_access_root_puts_rules_in_force(tmp_path: Path) -> None:
    bundle = rules.read_folder(folder_of(tmp_path), 4, made=1, note="first")
    blob = rules.signed(bundle, envelope.access_root(Secret(SEED)), "trust-1")
    found = rules.opened(blob, ROOTS)
    assert (found.version, found.note, found.rules.names) == (4, "first", bundle.rules.names)
    assert found.networks.of("127.77.0.9")[0] == "home"
    for wrong in (
        rules.signed(bundle, envelope.access_root(Secret(OTHER)), "trust-1"),
        rules.signed(bundle, envelope.access_root(Secret(SEED)), "trust-2"),
        blob[:-1] + bytes([blob[-1] ^ 1]),
    ):
        with pytest.raises(Forged):
            rules.opened(wrong, ROOTS)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.1.2.3", "inside"),
        ("::ffff:10.1.2.3", "inside"),
        ("203.0.113.9", "home"),
        ("2001:db8::1", "home"),
        ("127.78.1.1", "abroad"),
        ("", "abroad"),
        ("10.1.2.3, 203.0.113.9", "abroad"),
        ("localhost", "abroad"),
    ],
)
def test_a_place_is_found_by_the_longest_network_and_what_is_no_address_is_abroad(address: str, place: str) -> None:
    assert rules.usual().networks.of(address)[0] == place
