"""Cards at the door: Adele's card is offered to who holds it, proves her by its verifier, and ends with its certificate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloister.base.errors import Corrupt, Denied
from cloister.base.secret import Secret
from cloister.identity import Authenticator, Kind, Known, Person, cards
from cloister.identity.sign_in import REFUSED
from cloister.zones import algorithms
from cloister.zones.cards import offer_key

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DOOR = Secret(bytes(range(32)))
VERIFIER = hashlib.sha256(b"what Adele's page derives from her card").digest()
KEY = "ab" * 32
ADELE = Person(id="p-adele", sign_in="adele.morel", name="Adèle", kind="person", role="nurse", hospital=None, language="fr", disabled=False)


def card(number: int = 1, *, profile: str = "a", key: str = KEY, ends: datetime = NOW + timedelta(days=1)) -> Authenticator:
    params: dict[str, Any] = {"profile": profile, "key": key, "not_after": int(ends.timestamp() * 1000)}
    verifier = hashlib.sha256(VERIFIER).digest()
    return Authenticator(id=f"u-{number}", person=ADELE.id, kind=Kind.CARD, params=params, verifier=verifier, created=NOW)


def known(*authenticators: Authenticator, person: Person | None = ADELE) -> Known:
    return Known(sign_in="adele.morel", person=person, authenticators=authenticators)


def opened(one: Known, key: str = KEY) -> list[dict[str, Any]]:
    found = []
    for sealed in cards.sealed_offers(one):
        try:
            found.append(json.loads(algorithms.aead_open(offer_key(key), sealed, cards.OFFER_LABEL)))
        except Corrupt:
            continue
    return found


def refused(one: Known, unlocker: str, verifier: bytes, now: datetime = NOW) -> Denied:
    with pytest.raises(Denied) as denied:
        cards.prove(one, unlocker, verifier, DOOR, now=now)
    return denied.value


def test_whoever_holds_the_card_finds_its_offer() -> None:
    assert [offer["unlocker"] for offer in opened(known(card(), card(2, key="cd" * 32)))] == ["u-1"]


def test_everybody_is_offered_the_same_number_of_the_same_length() -> None:
    people = [
        known(),
        known(card()),
        known(*(card(n) for n in range(9))),
        known(person=None),
        known(card(), person=replace(ADELE, disabled=True)),
    ]
    assert {tuple(len(text) for text in cards.offers(one)) for one in people} == {(5500,) * cards.CARDS_PER_PERSON_MAX}


def test_who_is_disabled_is_offered_nothing() -> None:
    assert opened(known(card(), person=replace(ADELE, disabled=True))) == []


def test_the_card_of_this_unlocker_proves_her() -> None:
    assert cards.prove(known(card(), card(2)), "u-2", VERIFIER, DOOR, now=NOW).id == "u-2"


def test_whatever_is_wrong_has_one_answer() -> None:
    answers = [
        refused(known(card()), "u-1", bytes(32)),
        refused(known(card()), "u-2", VERIFIER),
        refused(known(), "u-1", VERIFIER),
        refused(known(person=None), "u-1", VERIFIER),
        refused(known(card(), person=replace(ADELE, disabled=True)), "u-1", VERIFIER),
        refused(known(replace(card(), kind=Kind.PASSPHRASE)), "u-1", VERIFIER),
        refused(known(card(ends=NOW)), "u-1", bytes(32)),
    ]
    assert {one.reason for one in answers} == {REFUSED}


def test_the_end_of_the_certificate_is_said_to_who_proved_the_card() -> None:
    ended = refused(known(card(ends=NOW)), "u-1", VERIFIER)
    assert ended.reason == "card-expired"
    assert "2026-11-22" in ended.text


def test_only_a_card_with_a_passphrase_beside_it_can_be_guessed() -> None:
    assert cards.guessable(known(card(profile="c")), "u-1")
    assert not cards.guessable(known(card()), "u-1")
    assert not cards.guessable(known(card(profile="c")), "u-2")
