"""Adèle's passkey: enrolled once, asked with a challenge that is used once, refused when anything does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soft_authenticator import USER_PRESENT, SoftAuthenticator
from webauthn.helpers import base64url_to_bytes

from cloister.base.errors import CloisterError, Denied, Invalid, Unsupported
from cloister.base.secret import Secret
from cloister.identity import Authenticator, Kind, Known, Person, passkey
from cloister.identity.challenge import CHALLENGE_LIFE, Challenge, Challenges, Purpose
from cloister.identity.sign_in import REFUSED

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PARTY = passkey.RelyingParty(id="localhost", name="Cloister", origins=("https://localhost:8443",))
ADELE = Person(
    id="p-adele",
    sign_in="adele.morel",
    name="Adèle Morel",
    kind="person",
    role="nurse",
    hospital="saint-roch",
    language="fr",
    disabled=False,
)
DOOR = Secret(bytes(range(32)))


def challenge(purpose: Purpose = Purpose.SIGN_IN) -> Challenge:
    return Challenges().issue(purpose, ADELE.sign_in, now=NOW)


def enrolled(device: SoftAuthenticator) -> Known:
    asked = challenge(Purpose.ENROLMENT)
    new = passkey.verified_registration(PARTY, asked, device.create(passkey.registration_options(PARTY, ADELE, [], asked)))
    one = Authenticator(
        id="u-1",
        person=ADELE.id,
        kind=Kind.PASSKEY,
        params={},
        credential_id=new.credential_id,
        credential_public=new.credential_public,
        sign_count=new.sign_count,
        created=NOW,
    )
    return Known(sign_in=ADELE.sign_in, person=ADELE, authenticators=(one,))


def options_for(known: Known, asked: Challenge) -> dict[str, Any]:
    options = passkey.authentication_options(PARTY, known, asked, DOOR)
    assert options is not None
    return options


def test_adele_enrols_a_passkey_and_signs_in_with_it() -> None:
    device = SoftAuthenticator()
    known = enrolled(device)
    asked = challenge()
    proven = passkey.verified_authentication(PARTY, known, asked, device.get(options_for(known, asked)))
    assert proven.id == "u-1"
    assert proven.sign_count == 2


def test_both_options_ask_for_verification_of_the_person_and_for_the_prf_at_one_fixed_point() -> None:
    asked = challenge(Purpose.ENROLMENT)
    creation = passkey.registration_options(PARTY, ADELE, [], asked)
    request = options_for(enrolled(SoftAuthenticator()), asked)
    for options in (creation, request):
        first = options["extensions"]["prf"]["eval"]["first"]
        assert base64url_to_bytes(first) == hashlib.sha256(b"cloister/prf/v1").digest()
        assert options["timeout"] == 120_000
        assert base64url_to_bytes(options["challenge"]) == asked.value
    assert creation["authenticatorSelection"]["userVerification"] == "required"
    assert request["userVerification"] == "required"
    assert "adele" not in str(base64url_to_bytes(creation["user"]["id"]))


def test_a_passkey_is_not_enrolled_twice_and_not_without_bound() -> None:
    known = enrolled(SoftAuthenticator())
    options = passkey.registration_options(PARTY, ADELE, known.authenticators, challenge(Purpose.ENROLMENT))
    assert len(options["excludeCredentials"]) == 1
    with pytest.raises(Invalid):
        passkey.registration_options(PARTY, ADELE, known.authenticators * 20, challenge(Purpose.ENROLMENT))


def test_a_passkey_without_prf_is_not_enrolled_because_it_could_open_nothing() -> None:
    asked = challenge(Purpose.ENROLMENT)
    options = passkey.registration_options(PARTY, ADELE, [], asked)
    with pytest.raises(Unsupported):
        passkey.verified_registration(PARTY, asked, SoftAuthenticator().create(options, prf={}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda device: setattr(device, "origin", "https://cloister.attacker.example"),
        lambda device: setattr(device, "rp_id", "attacker.example"),
        lambda device: setattr(device, "flags", USER_PRESENT),
        lambda device: setattr(device, "count", -1),
        lambda device: setattr(device, "user_handle", b"c29tZWJvZHktZWxzZQ"),
        lambda device: setattr(device, "credential_id", b"another credential"),
        lambda device: setattr(device, "key", SoftAuthenticator().key),
    ],
    ids=["other origin", "other host", "person not verified", "counter goes back", "other person", "other credential", "other key"],
)
def test_an_answer_with_one_thing_wrong_is_refused_like_any_other(spoil: Callable[[SoftAuthenticator], None]) -> None:
    device = SoftAuthenticator()
    known = enrolled(device)
    asked = challenge()
    options = options_for(known, asked)
    spoil(device)
    with pytest.raises(Denied) as denied:
        passkey.verified_authentication(PARTY, known, asked, device.get(options))
    assert denied.value.reason == REFUSED


def test_an_answer_to_another_challenge_is_refused() -> None:
    device = SoftAuthenticator()
    known = enrolled(device)
    answer = device.get(options_for(known, challenge()))
    with pytest.raises(Denied):
        passkey.verified_authentication(PARTY, known, challenge(), answer)


def test_a_synced_passkey_that_never_counts_is_accepted_and_a_disabled_person_is_not() -> None:
    device = SoftAuthenticator(counts=False)
    known = enrolled(device)
    asked = challenge()
    assert passkey.verified_authentication(PARTY, known, asked, device.get(options_for(known, asked))).sign_count == 0
    gone = replace(known, person=replace(ADELE, disabled=True))
    with pytest.raises(Denied):
        passkey.verified_authentication(PARTY, gone, asked, device.get(options_for(known, asked)))


def test_a_browser_that_sends_the_prf_output_is_told_to_keep_it() -> None:
    device = SoftAuthenticator()
    known = enrolled(device)
    asked = challenge()
    answer = device.get(options_for(known, asked))
    answer["clientExtensionResults"]["prf"]["results"] = {"first": "AAAA"}
    with pytest.raises(Invalid) as invalid:
        passkey.verified_authentication(PARTY, known, asked, answer)
    assert invalid.value.reason == "prf-sent"


def test_unknown_names_are_answered_as_if_one_in_four_had_a_passkey_and_always_alike() -> None:
    names = [f"nobody.{number}" for number in range(200)]
    nobodies = [Known(sign_in=name, person=None, authenticators=()) for name in names]
    first = {nobody.sign_in: passkey.authentication_options(PARTY, nobody, challenge(), DOOR) for nobody in nobodies}
    again = {nobody.sign_in: passkey.authentication_options(PARTY, nobody, challenge(), DOOR) for nobody in nobodies}
    with_passkey = [name for name in names if first[name] is not None]
    assert 25 <= len(with_passkey) <= 75
    for name in names:
        one, two = first[name], again[name]
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert one["allowCredentials"] == two["allowCredentials"]
            assert one.keys() == options_for(enrolled(SoftAuthenticator()), challenge()).keys()


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


@given(st.recursive(st.none() | st.text() | st.integers(), nested))
def test_an_answer_of_any_other_form_is_refused_by_name(noise: Any) -> None:
    known = enrolled(DEVICE)
    asked = challenge()
    good = DEVICE.get(options_for(known, asked))
    unsigned = {**good, "response": {**good["response"], "signature": noise}}
    for answer in (noise, {**good, "response": noise}, {**good, "rawId": noise}, unsigned):
        with pytest.raises(CloisterError):
            passkey.verified_authentication(PARTY, known, asked, answer)
        with pytest.raises(CloisterError):
            passkey.verified_registration(PARTY, asked, answer)


DEVICE = SoftAuthenticator()


def test_a_challenge_is_used_once_and_only_for_what_it_was_made_for() -> None:
    open_challenges = Challenges()
    asked = open_challenges.issue(Purpose.SIGN_IN, "adele.morel", now=NOW)
    assert open_challenges.take(asked.flow, Purpose.SIGN_IN, now=NOW).subject == "adele.morel"
    with pytest.raises(Denied):
        open_challenges.take(asked.flow, Purpose.SIGN_IN, now=NOW)
    other = open_challenges.issue(Purpose.ENROLMENT, "adele.morel", now=NOW)
    with pytest.raises(Denied):
        open_challenges.take(other.flow, Purpose.SIGN_IN, now=NOW)


def test_a_challenge_is_gone_after_120_seconds() -> None:
    open_challenges = Challenges()
    first, second = (open_challenges.issue(Purpose.SIGN_IN, "adele.morel", now=NOW) for _ in range(2))
    open_challenges.take(first.flow, Purpose.SIGN_IN, now=NOW + CHALLENGE_LIFE - timedelta(seconds=1))
    with pytest.raises(Denied):
        open_challenges.take(second.flow, Purpose.SIGN_IN, now=NOW + CHALLENGE_LIFE)


def test_old_challenges_make_room_and_their_number_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloister.identity.challenge.CHALLENGES_MAX", 5)
    open_challenges = Challenges()
    asked = [open_challenges.issue(Purpose.SIGN_IN, "x", now=NOW) for _ in range(9)]
    assert len(open_challenges) == 5
    with pytest.raises(Denied):
        open_challenges.take(asked[0].flow, Purpose.SIGN_IN, now=NOW)
    open_challenges.issue(Purpose.SIGN_IN, "x", now=NOW + CHALLENGE_LIFE)
    assert len(open_challenges) == 1
