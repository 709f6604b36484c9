"""What a token's scopes leave of what the policy permits: SMART versions 1 and 2, read the same way and never widened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.access import Action, Actor, Facts, Narrowed, Reason, Scopes, read_policy, read_scopes
from cloister.base.errors import Denied, Invalid

POLICY = read_policy()
LAB = Actor(person="p-lab", name="Lab", role="program", hospital="saint-roch", session="s-1")
KINDS = ("Patient", "Observation", "Condition", "Practitioner", "*")
scope = st.builds(
    lambda kind, letters: f"system/{kind}.{letters}",
    st.sampled_from(KINDS),
    st.sampled_from(("r", "rs", "cruds", "cud", "read", "write", "*", "s", "us")),
)


@pytest.mark.parametrize(("first", "second"), [("read", "rs"), ("write", "cud"), ("*", "cruds")], ids=["reading", "writing", "everything"])
def test_the_first_version_means_the_letters_of_the_second(first: str, second: str) -> None:
    assert read_scopes(f"system/Observation.{first}") == read_scopes(f"system/Observation.{second}")


def test_what_is_not_offered_is_left_out_and_what_is_no_list_is_refused() -> None:
    found = read_scopes("system/Observation.rs?category=laboratory system/Nothing.rs system/Patient.sr launch/patient openid")
    assert found.resources == ()
    assert found.words == ("launch/patient", "openid")
    for wrong in ('system/Patient.rs "', "système/Patient.rs", "a " * 300):
        with pytest.raises(Invalid):
            read_scopes(wrong)


def test_a_wildcard_is_cut_down_to_what_is_registered() -> None:
    most = read_scopes("system/Patient.rs system/Observation.cruds")
    assert str(read_scopes("system/*.cruds").within(most)) == "system/Observation.cruds system/Patient.rs"
    assert str(read_scopes("system/Patient.*").within(most)) == "system/Patient.rs"
    assert not read_scopes("system/Condition.rs").within(most).resources


@given(st.lists(scope, max_size=5), st.lists(scope, max_size=5))
def test_narrowing_gives_exactly_what_both_permit(asked: list[str], most: list[str]) -> None:
    one, other = read_scopes(" ".join(asked)), read_scopes(" ".join(most))
    both = one.within(other)
    for kind in ("Patient", "Observation", "Condition", "Practitioner", "Encounter"):
        assert set(both.letters(kind)) == set(one.letters(kind)) & set(other.letters(kind))
    assert read_scopes(str(both)) == both


@given(st.lists(scope, max_size=5), st.sampled_from(list(Action)), st.sampled_from(KINDS[:-1]))
def test_scopes_never_permit_what_the_policy_refuses(asked: list[str], action: Action, kind: str) -> None:
    nurse = Actor(person="p-adele", name="Adèle", role="nurse", hospital="saint-roch", session="s-2")
    try:
        Narrowed(POLICY, read_scopes(" ".join(asked))).decide(nurse, action, Facts(kind=kind))
    except Denied:
        return
    POLICY.decide(nurse, action, Facts(kind=kind))


def test_a_scope_that_is_missing_is_named_as_the_reason() -> None:
    narrowed = Narrowed(POLICY, read_scopes("system/Observation.rs"))
    narrowed.decide(LAB, Action.READ, Facts(kind="Observation"))
    for action, kind in ((Action.CREATE, "Observation"), (Action.READ, "Patient"), (Action.VIEW, "page")):
        with pytest.raises(Denied) as refused:
            narrowed.decide(LAB, action, Facts(kind=kind))
        assert refused.value.reason == Reason.SCOPE_MISSING


def test_the_history_of_a_type_takes_both_reading_and_searching() -> None:
    with pytest.raises(Denied):
        Narrowed(POLICY, read_scopes("system/Observation.r")).decide(LAB, Action.HISTORY, Facts(kind="Observation"))


def test_a_token_of_one_patient_writes_no_register_and_makes_no_patient() -> None:
    narrowed = Narrowed(POLICY, read_scopes("patient/*.cruds"), patient="4711")
    narrowed.decide(LAB, Action.CREATE, Facts(kind="Observation"))
    narrowed.decide(LAB, Action.READ, Facts(kind="Practitioner"))
    for action, kind in ((Action.CREATE, "Patient"), (Action.DELETE, "Patient"), (Action.UPDATE, "Practitioner")):
        with pytest.raises(Denied):
            narrowed.decide(LAB, action, Facts(kind=kind))


def test_nothing_asked_is_nothing_permitted() -> None:
    assert not Scopes().whole
    assert read_scopes("system/*.*").whole
