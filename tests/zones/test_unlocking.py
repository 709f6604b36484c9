"""From a passphrase, a passkey or a program's secret to the private keys, and never without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import refused

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, bundle, unlockers

KEK = Secret(bytes(range(32)))
UNLOCK_KEY = Secret(bytes(range(1, 33)))
PARAMS = {"salt": "00" * 16, "passes": 3, "memory_kib": 65_536, "lanes": 4}


def wrapped(kind: str = "passkey", params: dict[str, Any] | None = None) -> unlockers.Unlocker:
    return unlockers.wrap_unlock_key(KEK, "unlocker-1", "adele", kind, params or {}, UNLOCK_KEY)


@pytest.mark.parametrize(("kind", "params"), [("passphrase", PARAMS), ("passkey", {"credential": "c"}), ("service", {})])
def test_each_kind_of_unlocker_gives_the_unlock_key_back(kind: str, params: dict[str, Any]) -> None:
    assert unlockers.unwrap_unlock_key(KEK, wrapped(kind, params)) == UNLOCK_KEY


def test_adele_types_her_passphrase_and_only_hers_opens() -> None:
    kek, verifier = unlockers.passphrase_secrets("étagère", PARAMS)
    same, _ = unlockers.passphrase_secrets("e\u0301tage\u0300re", PARAMS)  # typed with combining accents
    other, other_verifier = unlockers.passphrase_secrets("etagere", PARAMS)
    assert kek == same
    assert kek != other
    assert verifier not in (kek.reveal(), other_verifier)
    unlocker = unlockers.wrap_unlock_key(kek, "u", "adele", "passphrase", PARAMS, UNLOCK_KEY)
    with refused(Refusal.WRONG_KEY):
        unlockers.unwrap_unlock_key(other, unlocker)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "unlocker-2"},
        {"person": "bruno"},
        {"kind": "service"},
        {"params": {"credential": "another"}},
    ],
)
def test_an_unlocker_moved_to_another_row_opens_nothing(change: dict[str, Any]) -> None:
    with refused(Refusal.WRONG_KEY):
        unlockers.unwrap_unlock_key(KEK, replace(wrapped(), **change))


@given(st.data())
def test_every_changed_unlocker_gets_the_same_answer_as_a_wrong_secret(data: st.DataObject) -> None:
    sealed = bytearray(wrapped().sealed)
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(sealed)[: data.draw(st.integers(0, len(sealed)))]
    with refused(Refusal.WRONG_KEY):
        unlockers.unwrap_unlock_key(KEK, replace(wrapped(), sealed=cut))


@given(st.binary(max_size=64))
def test_every_wrong_secret_is_refused(junk: bytes) -> None:
    if junk == KEK.reveal():
        return
    with refused(Refusal.WRONG_KEY):
        unlockers.unwrap_unlock_key(Secret(junk), wrapped())


@pytest.mark.parametrize("kind", ["smartcard", "", "Passkey", "none"])
def test_a_kind_that_is_not_on_the_list_is_refused(kind: str) -> None:
    with refused(Refusal.ALGORITHM):
        unlockers.unwrap_unlock_key(KEK, replace(wrapped(), kind=kind))


WEAK = [
    {**PARAMS, "passes": 2},
    {**PARAMS, "passes": 1_000},
    {**PARAMS, "memory_kib": 65_535},
    {**PARAMS, "memory_kib": 2**30},
    {**PARAMS, "lanes": 0},
    {**PARAMS, "lanes": True},
    {**PARAMS, "passes": "3"},
    {**PARAMS, "passes": 3.0},
    {**PARAMS, "salt": "00"},
    {**PARAMS, "salt": "zz" * 16},
    {**PARAMS, "salt": None},
    {**PARAMS, "kdf": "pbkdf2"},
    {name: value for name, value in PARAMS.items() if name != "lanes"},
    {},
    [],
    None,
]


@pytest.mark.parametrize("params", WEAK)
def test_a_server_cannot_talk_the_client_into_a_weaker_derivation(params: Any) -> None:
    with refused(Refusal.WEAK_PARAMETERS):
        unlockers.passphrase_secrets("secret", params)
    with refused(Refusal.WEAK_PARAMETERS):
        unlockers.unwrap_unlock_key(KEK, replace(wrapped("passphrase", PARAMS), params=params))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_secrets_of_the_wrong_length_are_refused(length: int) -> None:
    with refused(Refusal.MALFORMED):
        unlockers.passkey_kek(bytes(length))
    with refused(Refusal.MALFORMED):
        unlockers.service_secrets(bytes(length))


def test_the_kinds_are_separated() -> None:
    secret = bytes(range(32))
    service, verifier = unlockers.service_secrets(secret)
    assert len({service.reveal(), verifier, unlockers.passkey_kek(secret).reveal(), unlockers.stored_verifier(verifier)}) == 4


def test_a_kek_sealed_to_one_session_opens_in_no_other() -> None:
    session = algorithms.KemPrivate(algorithms.random(32))
    sealed = algorithms.kem_seal(session.public, KEK.reveal(), unlockers.session_unlock_info("session-1"))
    assert session.open(sealed, unlockers.session_unlock_info("session-1")) == KEK.reveal()
    with refused(Refusal.TAG):
        session.open(sealed, unlockers.session_unlock_info("session-2"))


def test_a_bundle_opens_for_its_person_only() -> None:
    made = bundle.new_bundle("adele")
    sealed = bundle.seal_bundle(made, UNLOCK_KEY)
    opened = bundle.open_bundle("adele", sealed, UNLOCK_KEY)
    assert (opened.kem_public, opened.sign_public) == (made.kem_public, made.sign_public)
    for person, key in (("bruno", UNLOCK_KEY), ("adele", KEK), ("adele", Secret(b""))):
        with refused(Refusal.WRONG_KEY):
            bundle.open_bundle(person, sealed, key)


@given(st.data())
def test_every_changed_bundle_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(bundle.seal_bundle(bundle.Bundle("adele", Secret(bytes(32)), Secret(bytes(32))), UNLOCK_KEY))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with refused(Refusal.WRONG_KEY):
        bundle.open_bundle("adele", bytes(sealed)[: data.draw(st.integers(0, len(sealed)))], UNLOCK_KEY)
