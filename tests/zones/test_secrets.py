"""No key prints, logs, pickles or travels in an error."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import pytest
from zones_cast import NOW, WARD, Trust, dossier_key

from cloister.base.errors import CATEGORIES, CloisterError
from cloister.base.secret import Secret
from cloister.zones import DossierKey, Forged, Keyring, Refusal, algorithms, bundle, epochs, unlockers
from cloister.zones.refusals import Refused

MARK = b"do-not-print-me-do-not-print-me!"  # 32 bytes


def holders(trust: Trust) -> list[Any]:
    private = bundle.Bundle("adele", Secret(MARK), Secret(MARK))
    return [
        Secret(MARK),
        private,
        DossierKey("dossier-1", 1, Secret(MARK)),
        epochs.EpochKeys(WARD, 1, Secret(MARK)),
        algorithms.Aead(MARK),
        algorithms.KemPrivate(MARK),
        algorithms.SignPrivate(MARK),
        trust.keyring(trust.grant()),
    ]


def test_nothing_that_holds_a_key_prints_it_or_lets_itself_be_copied_out(trust: Trust) -> None:
    for holder in holders(trust):
        for text in (repr(holder), str(holder), f"{holder}", repr([holder]), repr({"key": holder})):
            assert "do-not-print" not in text
            assert MARK.hex() not in text
        for take in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                take(holder)


def test_an_error_carries_no_key_and_no_plaintext(trust: Trust) -> None:
    keyring: Keyring = trust.keyring(trust.grant())
    keyring.refused.clear()
    kek = Secret(MARK)
    unlocker = unlockers.wrap_unlock_key(Secret(bytes(32)), "u", "adele", "passkey", {}, Secret(MARK))
    attempts = (
        lambda: unlockers.unwrap_unlock_key(kek, unlocker),
        lambda: bundle.open_bundle("adele", bytes(140), kek),
        lambda: algorithms.aead_open(MARK, bytes(40), b""),
        lambda: algorithms.kem_open(MARK, bytes(1200), b""),
        lambda: dossier_key().open_version("t", "Patient", "p", 1, 0, MARK + MARK),
        lambda: keyring.unwrap(WARD, 1, "d", 1, MARK + MARK),
    )
    for attempt in attempts:
        with pytest.raises(CloisterError) as caught:
            attempt()
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.as_wire())
        assert "do-not-print" not in told
        assert MARK.hex() not in told
        assert caught.value.__cause__ is None  # `from None`: nothing of the library's error travels along
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_every_refusal_has_a_sentence_a_category_and_survives_a_process_boundary() -> None:
    for reason in Refusal:
        for kind in (Forged, Refused):
            error = kind(reason)
            assert error.text
            assert error.text.endswith(".")
            assert error.reason == reason.value
            assert error.category in CATEGORIES
            again = pickle.loads(pickle.dumps(error))
            assert (type(again), again.reason, again.text) == (kind, error.reason, error.text)


def test_tag_commitment_and_signature_failures_read_alike() -> None:
    assert len({Forged(reason).text for reason in (Refusal.TAG, Refusal.COMMITMENT, Refusal.SIGNATURE)}) == 1


def test_opening_leaves_no_key_in_what_was_refused(trust: Trust) -> None:
    keyring = Keyring.open(bundle=trust.adele, trust=trust.roots, material=trust.material(b"junk", trust.grant(trust.bruno)), now=NOW)
    assert all(len(name) == 64 and reason in set(Refusal) for name, reason in keyring.refused)
