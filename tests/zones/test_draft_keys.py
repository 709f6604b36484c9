"""What a person typed and did not save: for that person alone, in any of their sessions, and for nobody's database."""

from __future__ import annotations

import hmac
import pickle
from hashlib import sha256

import pytest
from zones_cast import TRUST, refused

from cloister.zones import Refusal, bundle, drafts

FORM = "/patients/4711/notes/new"
TEXT = "Douleur en régression".encode()


def test_a_draft_opens_in_every_session_of_its_person_and_in_nobody_elses() -> None:
    adele, bruno = bundle.new_bundle("adele"), bundle.new_bundle("bruno")
    here, there = drafts.DraftKeys(adele, TRUST), drafts.DraftKeys(adele, TRUST)
    sealed = here.seal(FORM, TEXT)
    assert there.open(there.name(FORM), sealed) == TEXT
    for other in (drafts.DraftKeys(bruno, TRUST), drafts.DraftKeys(adele, "another-trust")):
        with refused(Refusal.TAG):
            other.open(here.name(FORM), sealed)


def test_a_draft_given_to_another_form_or_changed_is_refused() -> None:
    keys = drafts.DraftKeys(bundle.new_bundle("adele"), TRUST)
    sealed = keys.seal(FORM, TEXT)
    for name, body in ((keys.name("/patients/4712/notes/new"), sealed), (keys.name(FORM), sealed[:-1] + bytes([sealed[-1] ^ 1]))):
        with refused(Refusal.TAG):
            keys.open(name, body)


def test_neither_the_form_nor_the_texts_exact_length_is_in_what_is_stored() -> None:
    adele = bundle.new_bundle("adele")
    keys = drafts.DraftKeys(adele, TRUST)
    assert FORM.encode() not in keys.name(FORM)
    assert keys.name(FORM) != hmac.digest(b"", FORM.encode(), sha256)[:16]
    assert len(keys.seal(FORM, b"a")) == len(keys.seal(FORM, b"a" * 900))
    assert keys.seal(FORM, TEXT) != keys.seal(FORM, TEXT)


def test_keys_of_drafts_print_and_pickle_nothing_and_are_gone_when_closed() -> None:
    keys = drafts.DraftKeys(bundle.new_bundle("adele"), TRUST)
    sealed, name = keys.seal(FORM, TEXT), keys.name(FORM)
    assert repr(keys) == "DraftKeys(...)"
    with pytest.raises(TypeError):
        pickle.dumps(keys)
    keys.close()
    with refused(Refusal.CLOSED):
        keys.open(name, sealed)
