"""Epochs, floors, wraps, shards, authors: a keyring at work, and after it was closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import NOW, OTHER_WARD, WARD, Trust, digest, refused

from cloister.base.secret import Secret
from cloister.zones import Keyring, Refusal, algorithms, bundle, epochs

DOSSIER_KEY = Secret(bytes(range(32)))


class Rotated:
    """The ward after two rotations: epochs 1, 2 and 3, all linked unless said otherwise."""

    def __init__(self, trust: Trust, *, link: bool = True) -> None:
        first = trust.keys[WARD]
        second, third = (epochs.EpochKeys(WARD, n, epochs.new_zone_key()) for n in (2, 3))
        self.keys = {1: first, 2: second, 3: third}
        previous = first.key if link else None
        self.records = [
            trust.epoch_record(first),
            trust.epoch_record(second, previous, signer=trust.marc_signer),
            trust.epoch_record(third, second.key),
        ]


def test_a_new_colleague_reads_what_was_wrapped_before_down_to_the_floor(trust: Trust) -> None:
    rotated = Rotated(trust)
    wrapped = trust.keyring(trust.grant()).wrap(WARD, "dossier", 1, DOSSIER_KEY)
    opened = trust.keyring(trust.grant(epoch=3, zone_key=rotated.keys[3].key), epochs=rotated.records)
    assert opened.epoch(WARD) == 3
    assert opened.unwrap(WARD, 1, "dossier", 1, wrapped) == DOSSIER_KEY
    assert opened.index_key(WARD) == trust.index_keys[WARD].reveal()
    floored = trust.keyring(trust.grant(epoch=3, floor=2, zone_key=rotated.keys[3].key), epochs=rotated.records)
    with refused(Refusal.EPOCH_FLOOR):
        floored.unwrap(WARD, 1, "dossier", 1, wrapped)
    with refused(Refusal.EPOCH_MISSING):
        opened.unwrap(WARD, 4, "dossier", 1, wrapped)


def test_an_epoch_without_a_link_closes_the_past(trust: Trust) -> None:
    rotated = Rotated(trust, link=False)
    wrapped = trust.keyring(trust.grant()).wrap(WARD, "dossier", 1, DOSSIER_KEY)
    opened = trust.keyring(trust.grant(epoch=3, zone_key=rotated.keys[3].key), epochs=rotated.records)
    with refused(Refusal.EPOCH_FLOOR):
        opened.unwrap(WARD, 1, "dossier", 1, wrapped)


def test_who_was_given_no_key_of_the_new_epoch_writes_no_more(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant(), epochs=Rotated(trust).records)
    assert keyring.can(WARD, "read")
    assert not keyring.can(WARD, "write")
    with refused(Refusal.EPOCH_MISSING):
        keyring.wrap(WARD, "dossier", 1, DOSSIER_KEY)


def test_a_forged_later_epoch_stops_nobody_from_writing(trust: Trust) -> None:
    stranger = epochs.EpochKeys(WARD, 9, epochs.new_zone_key())
    forged = trust.epoch_record(stranger, signer=replace(trust.root_signer, key=trust.bruno.signing))
    assert trust.keyring(trust.grant(), epochs=[*trust.epochs, forged]).can(WARD, "write")


def test_swapped_links_and_records_are_refused(trust: Trust) -> None:
    rotated = Rotated(trust)
    granted = trust.grant(epoch=3, zone_key=rotated.keys[3].key)
    wrong_link = trust.epoch_record(rotated.keys[2], epochs.new_zone_key())  # leads to another key than epoch 1's
    opened = trust.keyring(granted, epochs=[rotated.records[0], wrong_link, rotated.records[2]])
    with refused(Refusal.COMMITMENT):
        opened.unwrap(WARD, 1, "dossier", 1, bytes(60))
    opened = trust.keyring(granted, epochs=rotated.records[1:])
    with refused(Refusal.EPOCH_MISSING):
        opened.unwrap(WARD, 1, "dossier", 1, bytes(60))


@pytest.mark.parametrize(
    ("zone", "epoch", "dossier", "key_no", "reason"),
    [
        (WARD, 1, "dossier-2", 1, Refusal.TAG),
        (WARD, 1, "dossier-1", 2, Refusal.TAG),
        (OTHER_WARD, 1, "dossier-1", 1, Refusal.TAG),
        ("zone-nowhere", 1, "dossier-1", 1, Refusal.ZONE_NOT_HELD),
        (WARD, 0, "dossier-1", 1, Refusal.EPOCH_FLOOR),
        (WARD, -1, "dossier-1", 1, Refusal.EPOCH_FLOOR),
        (WARD, 2, "dossier-1", 1, Refusal.EPOCH_MISSING),
    ],
)
def test_a_wrap_moved_to_another_place_opens_nothing(
    trust: Trust, zone: str, epoch: int, dossier: str, key_no: int, reason: Refusal
) -> None:
    keyring = trust.keyring(trust.grant(), trust.grant(zone=OTHER_WARD))
    wrapped = keyring.wrap(WARD, "dossier-1", 1, DOSSIER_KEY)
    assert len(wrapped) == 60
    assert keyring.unwrap(WARD, 1, "dossier-1", 1, wrapped) == DOSSIER_KEY
    with refused(reason):
        keyring.unwrap(zone, epoch, dossier, key_no, wrapped)


@given(st.binary(max_size=80))
def test_any_bytes_given_as_a_wrap_or_a_shard_are_refused(trust: Trust, junk: bytes) -> None:
    keyring = KEPT.setdefault("keyring", trust.keyring(trust.grant()))
    with refused(Refusal.TAG):
        keyring.unwrap(WARD, 1, "dossier", 1, junk)
    with refused(Refusal.TAG, Refusal.EPOCH_FLOOR, Refusal.EPOCH_MISSING):
        keyring.shard_open(WARD, 0, junk)


KEPT: dict[str, Keyring] = {}


def test_a_shard_part_opens_in_its_own_place_across_epochs(trust: Trust) -> None:
    sealed = trust.keyring(trust.grant()).shard_seal(WARD, 2, b"names")
    rotated = Rotated(trust)
    later = trust.keyring(trust.grant(epoch=3, zone_key=rotated.keys[3].key), epochs=rotated.records)
    assert later.shard_open(WARD, 2, sealed) == b"names"
    with refused(Refusal.TAG):
        later.shard_open(WARD, 1, sealed)
    with refused(Refusal.TAG):
        later.shard_open(WARD, 2, (2).to_bytes(4, "big") + sealed[4:])


def test_a_colleagues_notes_stay_signed_after_they_have_left(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant(), revoked_certificates={digest(trust.bruno_der): NOW})
    assert keyring.author(digest(trust.bruno_der)).person == "bruno"
    assert keyring.author_at(digest(trust.bruno_der), NOW - timedelta(hours=1)).person == "bruno"
    with refused(Refusal.CERTIFICATE_REVOKED):
        keyring.author_at(digest(trust.bruno_der), NOW)
    with refused(Refusal.CERTIFICATE_MISSING):
        keyring.author(bytes(32))


def test_an_author_who_was_unknown_can_be_learnt(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant())
    newcomer = bundle.new_bundle("newcomer")
    der = trust.certify(newcomer)
    with refused(Refusal.CERTIFICATE_MISSING):
        keyring.author(digest(der))
    keyring.add_certificates([der])
    assert keyring.author(digest(der)).person == "newcomer"


def test_an_author_whose_officer_was_unknown_is_verified_once_the_officer_is_learnt(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant())
    officer, author = bundle.new_bundle("second-officer"), bundle.new_bundle("author")
    officer_der = trust.certify(officer, "certificate", seed=trust.certificate_root, issuer=trust.root_der)
    der = trust.certify(author, seed=officer.sign_seed, issuer=officer_der, now=NOW)
    keyring.add_certificates([der])
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        keyring.author(digest(der))
    keyring.add_certificates([officer_der])
    assert keyring.author(digest(der)).person == "author"


def test_a_grant_that_ends_during_the_session_closes_its_zone(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant(live_until=NOW + timedelta(hours=1)), trust.grant(zone=OTHER_WARD))
    assert keyring.close_ended(NOW) == []
    assert keyring.close_ended(NOW + timedelta(hours=2)) == [WARD]
    assert [zone.zone for zone in keyring.zones] == [OTHER_WARD]


def test_after_closing_nothing_opens(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant())
    wrapped = keyring.wrap(WARD, "dossier", 1, DOSSIER_KEY)
    keyring.close()
    assert keyring.zones == []
    assert not keyring.can(WARD, "read")
    for use in (
        lambda: keyring.unwrap(WARD, 1, "dossier", 1, wrapped),
        lambda: keyring.wrap(WARD, "dossier", 1, DOSSIER_KEY),
        lambda: keyring.index_key(WARD),
        lambda: keyring.sign("label", {}),
        lambda: keyring.shard_open(WARD, 0, bytes(50)),
    ):
        with refused(Refusal.CLOSED):
            use()


def test_a_zone_key_cut_short_is_refused() -> None:
    with refused(Refusal.MALFORMED):
        epochs.EpochKeys(WARD, 1, Secret(bytes(31)))


def test_the_derived_keys_of_an_epoch_are_all_different() -> None:
    labels = ("commitment", "wrap", "shard", "link", "index")
    assert len({algorithms.hkdf(bytes(32), f"cloister/epoch/v1/{label}") for label in labels}) == len(labels)


def test_a_keyring_opens_ten_zones_quickly(trust: Trust) -> None:
    """Budget 10 ms on a quiet machine (measured 5); the bound here only catches an order of magnitude."""
    keys = [epochs.EpochKeys(f"zone-{n}", 1, epochs.new_zone_key()) for n in range(10)]
    material = trust.material(
        *(trust.grant(zone=one.zone, zone_key=one.key) for one in keys),
        zones=[trust.zone_record(one.zone) for one in keys],
        epochs=[trust.epoch_record(one) for one in keys],
    )
    best = 1.0
    for _ in range(5):
        start = perf_counter()
        keyring = Keyring.open(bundle=trust.adele, trust=trust.roots, material=material, now=NOW)
        best = min(best, perf_counter() - start)
    assert len(keyring.zones) == 10
    assert best < 0.1
