"""At the door: the right verifier opens, and whoever does not exist is answered exactly like whoever mistypes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.identity import Authenticator, Kind, Known, Person, programs, sign_in
from cloister.identity.sign_in import PASSPHRASE_COST, REFUSED, normalised, passphrase_parameters, prove
from cloister.identity.words import WORDS
from cloister.zones.unlockers import checked_passphrase_params, service_secrets

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DOOR = Secret(bytes(range(32)))
VERIFIER = hashlib.sha256(b"what Adele's browser derives").digest()
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
LABORATORY = replace(ADELE, id="lab-gateway", sign_in="lab-gateway", name="Laboratory", kind="program", role="program")


def stored(verifier: bytes = VERIFIER, **changes: Any) -> Authenticator:
    one = Authenticator(
        id="u-1",
        person=ADELE.id,
        kind=Kind.PASSPHRASE,
        params={"salt": "00112233445566778899aabbccddeeff", **PASSPHRASE_COST},
        verifier=hashlib.sha256(verifier).digest(),
        created=NOW,
    )
    return replace(one, **changes)


def known(*authenticators: Authenticator, person: Person | None = ADELE) -> Known:
    return Known(sign_in="adele.morel", person=person, authenticators=authenticators)


def refused(one: Known, offered: bytes, kind: Kind = Kind.PASSPHRASE) -> Denied:
    with pytest.raises(Denied) as denied:
        prove(one, kind, offered, DOOR)
    return denied.value


def test_adele_is_let_in_with_the_verifier_of_her_passphrase() -> None:
    assert prove(known(stored()), Kind.PASSPHRASE, VERIFIER, DOOR).id == "u-1"


def test_a_wrong_passphrase_and_an_unknown_name_get_the_same_answer() -> None:
    answers = [
        refused(known(stored()), bytes(32)),
        refused(known(stored()), b""),
        refused(known(stored()), hashlib.sha256(VERIFIER).digest()),
        refused(known(stored(), person=replace(ADELE, disabled=True)), VERIFIER),
        refused(known(stored(person="p-somebody-else")), VERIFIER),
        refused(known(), VERIFIER),
        refused(known(person=None), VERIFIER),
        refused(known(stored(kind=Kind.SERVICE), person=ADELE), VERIFIER, Kind.SERVICE),
        refused(known(stored(person=LABORATORY.id), person=LABORATORY), VERIFIER),
    ]
    assert {(one.text, one.hint, one.reason) for one in answers} == {(answers[0].text, answers[0].hint, REFUSED)}


def test_a_changed_passphrase_replaces_the_old_one() -> None:
    both = known(stored(), stored(b"the new one".ljust(32), id="u-2", created=NOW + timedelta(days=1)))
    assert prove(both, Kind.PASSPHRASE, b"the new one".ljust(32), DOOR).id == "u-2"
    refused(both, VERIFIER)


def test_parameters_for_an_unknown_name_have_the_same_shape_and_never_change() -> None:
    real = passphrase_parameters(known(stored()), DOOR)
    imitated = passphrase_parameters(known(person=None), DOOR)
    assert imitated == passphrase_parameters(known(person=None), DOOR)
    assert imitated == passphrase_parameters(known(), DOOR)
    assert real.keys() == imitated.keys()
    assert {name: real[name] for name in PASSPHRASE_COST} == {name: imitated[name] for name in PASSPHRASE_COST}
    for params in (real, imitated):
        assert len(checked_passphrase_params(params)[0]) == 16
    assert imitated["salt"] != passphrase_parameters(replace(known(person=None), sign_in="other"), DOOR)["salt"]
    assert imitated["salt"] != passphrase_parameters(known(person=None), Secret(bytes(32)))["salt"]


def test_nothing_that_proves_a_person_shows_in_a_repr() -> None:
    assert VERIFIER.hex() not in repr(stored())
    assert repr(hashlib.sha256(VERIFIER).digest()) not in repr(known(stored()))


@pytest.mark.parametrize(("typed", "name"), [("  Adele.Morel ", "adele.morel"), ("ADÈLE", "adèle"), ("\uff41dele", "adele")])
def test_a_name_is_found_however_it_is_typed(typed: str, name: str) -> None:
    assert normalised(typed) == name


@pytest.mark.parametrize("typed", ["", "   ", "x" * 129, "a\x00b", "a\nb"])
def test_what_is_not_a_name_is_refused(typed: str) -> None:
    with pytest.raises(Invalid):
        normalised(typed)


@given(st.text())
def test_any_text_is_a_name_or_is_refused_by_name(typed: str) -> None:
    try:
        name = normalised(typed)
    except Invalid:
        return
    assert normalised(name) == name


def laboratory(secret: str) -> Known:
    _, verifier = service_secrets(programs.client_secret_bytes(secret).reveal())
    one = stored(verifier, person=LABORATORY.id, kind=Kind.SERVICE, params={})
    return Known(sign_in="lab-gateway", person=LABORATORY, authenticators=(one,))


def test_the_laboratory_signs_in_with_its_client_secret_and_gets_the_key_that_opens_its_unlocker() -> None:
    secret = programs.new_client_secret()
    proven = programs.prove_program(laboratory(secret), secret, DOOR)
    assert proven.authenticator.person == "lab-gateway"
    assert proven.kek == service_secrets(base64.urlsafe_b64decode(secret + "="))[0]
    assert secret not in repr(proven)


@pytest.mark.parametrize("secret", ["", "x", "é" * 43, "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", "A" * 42 + "+", " " + "A" * 42])
def test_a_client_secret_of_another_form_is_refused(secret: str) -> None:
    with pytest.raises(Denied) as denied:
        programs.prove_program(laboratory("A" * 43), secret, DOOR)
    assert denied.value.reason == REFUSED


def test_another_program_s_secret_is_refused_and_so_is_an_unknown_program() -> None:
    for one in (laboratory(programs.new_client_secret()), Known(sign_in="nobody", person=None, authenticators=())):
        with pytest.raises(Denied):
            programs.prove_program(one, programs.new_client_secret(), DOOR)


def test_a_made_up_passphrase_is_five_plain_words_and_never_the_same() -> None:
    made = {sign_in.new_passphrase() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one.split("-")) == 5 and one.isascii() and one == one.lower() for one in made)
    assert len(set(WORDS)) == len(WORDS) >= 512


def test_the_door_s_cost_is_the_floor_that_sessions_enforce() -> None:
    assert checked_passphrase_params({"salt": "00" * 16, **sign_in.PASSPHRASE_COST})[1:] == (3, 65_536, 4)
