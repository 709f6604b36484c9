"""Recovery seals: IT, medical and management together open an epoch's key; any one or two of them, with all they have, do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from zones_cast import NOW, OTHER_WARD, TRUST, WARD, Trust, digest, refused

from cloister.base.errors import CloisterError
from cloister.base.secret import Secret
from cloister.offices import recovery_founding, software_card
from cloister.zones import Refusal, algorithms, bundle, envelope, epochs, grants, recovery, unlockers
from cloister.zones.certificates import Certificates

PARTIES = ("it", "medical", "management")


@dataclass(frozen=True)
class Safe:
    """Everything that there is: what lies in the database, and what each party keeps."""

    offices: grants.Offices
    keys: epochs.EpochKeys
    seals: dict[str, recovery.RecoverySeal]
    sets: dict[str, recovery.RecoverySet]
    params: dict[str, object]
    sealed: bytes
    passphrase: str  # IT
    cards: dict[str, software_card.SoftwareCard]  # management
    pins: dict[str, str]  # medical

    def escrow(self, passphrase: str) -> recovery.Escrow:
        kek, _ = unlockers.passphrase_secrets(passphrase, self.params)
        kept = unlockers.Unlocker("recovery/escrow", TRUST, unlockers.UnlockerKind.PASSPHRASE, self.params, self.sealed)
        return recovery.Escrow(unlockers.unwrap_unlock_key(kek, kept))


@pytest.fixture(scope="module")
def offices(trust: Trust) -> grants.Offices:
    ders = [trust.ines_der, trust.marc_der, trust.adele_der]
    return grants.Offices(trust.roots, Certificates(trust.roots, ders), trust.mandates)


@pytest.fixture(scope="module")
def safe(trust: Trust, offices: grants.Offices) -> Safe:
    escrow, params, sealed = recovery_founding.new_recovery_data(TRUST, "it-passphrase-of-the-safe")
    pins = {name: software_card.new_pin() for name in recovery.SETS}
    cards = {name: software_card.new_card(TRUST, pin) for name, pin in pins.items()}
    records = tuple(set_record(trust.marc_signer, name, card, escrow) for name, card in cards.items())
    material = epochs.SealMaterial(TRUST, offices, epochs.Zone(WARD, WARD, "chu", None, {}, 1, NOW), records={recovery.RECORDS: records})
    seals = recovery.seals_of_epoch(material, trust.keys[WARD], trust.marc_signer, NOW)
    return Safe(
        offices=offices,
        keys=trust.keys[WARD],
        seals={recovery.SETS[one.part]: recovery.verified_seal(one.body, offices) for one in seals},
        sets=recovery.present_sets(records, offices),
        params=params,
        sealed=sealed,
        passphrase="it-passphrase-of-the-safe",
        cards=cards,
        pins=pins,
    )


def set_record(signer: envelope.Signer, name: str, card: software_card.SoftwareCard, escrow: recovery.Escrow, number: int = 1) -> bytes:
    return recovery.set_record(
        signer, trust=TRUST, name=name, number=number, curve=card.curve, card=bytes.fromhex(card.public),
        lattice=escrow.lattice_public, escrow=escrow.kem_public, made=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("name", recovery.SETS)
def test_the_three_together_open_the_key_with_either_card_set(safe: Safe, name: str) -> None:
    half = safe.escrow(safe.passphrase).open(safe.seals[name], safe.sets[name])
    card = safe.cards[name]
    scalar = card.opened(software_card.pin_kek(safe.pins[name], card.params))
    secret = Secret(algorithms.ecdh(card.curve, scalar.reveal(), half.ephemeral))
    assert recovery.unpacked_half(half.packed()).open(safe.sets[name], secret) == safe.keys.key


def test_a_card_of_the_other_set_opens_nothing(safe: Safe) -> None:
    half = safe.escrow(safe.passphrase).open(safe.seals["A"], safe.sets["A"])
    scalar = safe.cards["B"].opened(software_card.pin_kek(safe.pins["B"], safe.cards["B"].params))
    with refused(Refusal.TAG):
        half.open(safe.sets["A"], Secret(algorithms.ecdh("P-256", scalar.reveal(), half.ephemeral)))
    with refused(Refusal.SWAPPED):
        safe.escrow(safe.passphrase).open(safe.seals["A"], safe.sets["B"])


def attempts(safe: Safe, present: tuple[str, ...]) -> Iterator[Secret]:
    """Every way to put together what these parties have and what the database shows; yields what opened."""
    texts = [safe.passphrase] if "it" in present else []
    texts += list(safe.pins.values()) if "medical" in present else []
    guesses = [*texts, "", "00000-00000-00000-00000", TRUST]
    raws = [safe.sealed[-32:], bytes(32), *(one.card[1:33] for one in safe.sets.values())]
    raws += [unlockers.passphrase_secrets(text, safe.params)[0].reveal() for text in texts]
    escrows = list(_opened(lambda text: safe.escrow(text), guesses))
    escrows += list(_opened(lambda raw: recovery.Escrow(Secret(raw * 3)), raws))
    for name in recovery.SETS:
        scalars = list(raws)
        if "management" in present:
            card = safe.cards[name]
            scalars += [
                one.reveal() for one in _opened(lambda text, card=card: card.opened(software_card.pin_kek(text, card.params)), guesses)
            ]
        halves = list(_opened(lambda escrow, name=name: escrow.open(safe.seals[name], safe.sets[name]), escrows))
        halves.append(
            recovery.Half(safe.seals[name].context, safe.sets[name].card, bytes(1088), Secret(bytes(32)), safe.seals[name].sealed)
        )
        for half in halves:
            secrets = [Secret(raw) for raw in raws] + [half.shared]
            secrets += [Secret(one) for one in _opened(lambda scalar, half=half: algorithms.ecdh("P-256", scalar, half.ephemeral), scalars)]
            yield from _opened(lambda secret, half=half, name=name: half.open(safe.sets[name], secret), secrets)


def _opened(attempt: object, candidates: list[object]) -> Iterator[object]:
    for one in candidates:
        try:
            yield attempt(one)  # type: ignore[operator]
        except (CloisterError, ValueError):
            continue


@pytest.mark.parametrize("present", [*combinations(PARTIES, 1), *combinations(PARTIES, 2)], ids="+".join)
def test_one_or_two_parties_with_all_their_material_and_the_whole_database_open_nothing(safe: Safe, present: tuple[str, ...]) -> None:
    assert list(attempts(safe, present)) == []


def test_the_same_attempts_by_all_three_do_open_it(safe: Safe) -> None:
    """So that the test above is known to try the right way too."""
    assert {one.reveal() for one in attempts(safe, PARTIES)} == {safe.keys.key.reveal()}


def test_neither_the_curve_s_secret_nor_the_lattice_s_is_enough(safe: Safe) -> None:
    half = safe.escrow(safe.passphrase).open(safe.seals["A"], safe.sets["A"])
    scalar = safe.cards["A"].opened(software_card.pin_kek(safe.pins["A"], safe.cards["A"].params))
    secret = Secret(algorithms.ecdh("P-256", scalar.reveal(), half.ephemeral))
    with refused(Refusal.TAG):
        replace(half, shared=Secret(bytes(32))).open(safe.sets["A"], secret)
    with refused(Refusal.TAG):
        half.open(safe.sets["A"], Secret(bytes(32)))


def test_a_set_counts_only_as_an_access_officer_s_word(trust: Trust, offices: grants.Offices, safe: Safe) -> None:
    """Otherwise whoever writes to the database would have the next epochs sealed to a card of their own."""
    escrow, card = safe.escrow(safe.passphrase), safe.cards["A"]
    adele = envelope.person_signer(digest(trust.adele_der), trust.adele.signing)
    ines = envelope.person_signer(digest(trust.ines_der), trust.ines.signing)
    for signer in (adele, ines):
        with refused(Refusal.MANDATE_MISSING):
            recovery.verified_set(set_record(signer, "A", card, escrow), offices)
    forger = envelope.person_signer(digest(trust.marc_der), bundle.new_bundle("marc").signing)
    with refused(Refusal.SIGNATURE):
        recovery.verified_set(set_record(forger, "A", card, escrow), offices)


def test_an_officer_of_some_zones_makes_no_set_for_all(trust: Trust, safe: Safe) -> None:
    limited = [*trust.mandates[:1], trust.access_mandate(trust.marc, trust.marc_der, zones=[WARD])]
    offices = grants.Offices(trust.roots, Certificates(trust.roots, [trust.ines_der, trust.marc_der]), limited)
    record = set_record(trust.marc_signer, "A", safe.cards["A"], safe.escrow(safe.passphrase))
    with refused(Refusal.ABOVE_CEILING):
        recovery.verified_set(record, offices)


def test_a_new_card_takes_the_place_of_the_lost_one(trust: Trust, offices: grants.Offices, safe: Safe) -> None:
    escrow = safe.escrow(safe.passphrase)
    pin = software_card.new_pin()
    fresh = software_card.new_card(TRUST, pin)
    records = (set_record(trust.marc_signer, "A", safe.cards["A"], escrow), set_record(trust.marc_signer, "A", fresh, escrow, number=2))
    sets = recovery.present_sets(records[::-1], offices)
    assert {name: one.number for name, one in sets.items()} == {"A": 2}
    seal = recovery.verified_seal(recovery.sealed_for(sets, TRUST, safe.keys, trust.marc_signer, NOW)[0].body, offices)
    half = escrow.open(seal, sets["A"])
    lost = safe.cards["A"].opened(software_card.pin_kek(safe.pins["A"], safe.cards["A"].params))
    with refused(Refusal.TAG):
        half.open(sets["A"], Secret(algorithms.ecdh("P-256", lost.reveal(), half.ephemeral)))
    scalar = fresh.opened(software_card.pin_kek(pin, fresh.params))
    assert half.open(sets["A"], Secret(algorithms.ecdh("P-256", scalar.reveal(), half.ephemeral))) == safe.keys.key


def test_it_s_keys_count_only_from_the_certificate_office(trust: Trust, offices: grants.Offices, safe: Safe) -> None:
    escrow = safe.escrow(safe.passphrase)
    keys = {"trust": TRUST, "kem": escrow.kem_public, "lattice": escrow.lattice_public, "made": NOW}
    ines = envelope.person_signer(digest(trust.ines_der), trust.ines.signing)
    for signer in (ines, envelope.certificate_root(trust.certificate_root)):
        assert recovery.verified_escrow(recovery.escrow_record(signer, **keys), offices) == (escrow.kem_public, escrow.lattice_public)
    with refused(Refusal.MANDATE_MISSING):
        recovery.verified_escrow(recovery.escrow_record(trust.marc_signer, **keys), offices)
    with refused(Refusal.TRUST):
        recovery.verified_escrow(recovery.escrow_record(ines, **{**keys, "trust": "another"}), offices)


def test_the_canary_opens_with_its_own_key_only(trust: Trust, offices: grants.Offices) -> None:
    keys = trust.keys[WARD]
    blob = recovery.canary(trust.marc_signer, trust=TRUST, keys=keys, made=NOW)
    assert recovery.open_canary(blob, keys, offices) == recovery.CANARY_TEXT
    with refused(Refusal.SWAPPED):
        recovery.open_canary(blob, trust.keys[OTHER_WARD], offices)
    with refused(Refusal.TAG):
        recovery.open_canary(blob, epochs.EpochKeys(WARD, 1, epochs.new_zone_key()), offices)


def test_secrets_of_recovery_do_not_print(safe: Safe) -> None:
    escrow = safe.escrow(safe.passphrase)
    half = escrow.open(safe.seals["A"], safe.sets["A"])
    assert repr(escrow) == "Escrow(...)"
    assert half.shared.reveal().hex() not in repr(half)
    with pytest.raises(TypeError):
        escrow.__reduce__()
