"""Break-glass keys: how a zone key is split, who gets which part, and that nothing less than all of it opens the zone."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zones_cast import DAY, NOW, TRUST, WARD, Trust, digest, refused

from cloister.base.errors import CloisterError
from cloister.base.secret import Secret
from cloister.zones import Keyring, Refusal, algorithms, bundle, epochs, glass, shamir

SECRETS = st.binary(min_size=1, max_size=64)
OFFICES = Trust().keyring().offices


def test_products_are_those_of_fips_197() -> None:
    """FIPS 197, 4.2: {57} x {83} = {c1}; 4.2.1: {57} x {13} = {fe}."""
    assert (shamir.times(0x57, 0x83), shamir.times(0x57, 0x13)) == (0xC1, 0xFE)
    assert all(shamir.times(one, shamir.inverse(one)) == 1 for one in range(1, 256))


@given(SECRETS, st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_any_two_shares_give_the_secret(secret: bytes, count: int) -> None:
    made = shamir.shares(secret, count)
    for a, b in list(combinations(range(count), 2))[:60]:
        assert shamir.joined({b + 1: made[b], a + 1: made[a]}) == secret


@given(SECRETS, st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_one_share_fits_every_secret_so_it_says_nothing(secret: bytes, other: int) -> None:
    """For each share and each secret there is exactly one line through both: the second share decides, and nobody has it."""
    mine = shamir.shares(secret, 2)[0]
    wanted = bytes([other]) * len(secret)
    second = bytes(w ^ shamir.times(m ^ w, 2) for m, w in zip(mine, wanted, strict=True))
    assert shamir.joined({1: mine, 2: second}) == wanted


@pytest.mark.parametrize("places", [{1: b"a"}, {0: b"a", 1: b"b"}, {1: b"a", 256: b"b"}, {1: b"a", 2: b"bb"}, {1: b"a", 2: b"b", 3: b"c"}])
def test_anything_but_two_good_shares_is_malformed(places: dict[int, bytes]) -> None:
    with refused(Refusal.MALFORMED):
        shamir.joined(places)


# --- seals ----------------------------------------------------------------------------------------------


def policy(trust: Trust, approvers: int, **changed: Any) -> dict[str, Any]:
    adele, bruno = {"adele": digest(trust.adele_der).hex()}, {"bruno": digest(trust.bruno_der).hex()}
    return {"glass": {"approvers": approvers, "seconds": 60, "right": "read", "askers": adele, "approvers_pool": bruno, **changed}}


def sealed(trust: Trust, wanted: dict[str, Any], *more: tuple[bundle.Bundle, bytes]) -> tuple[list[glass.GlassPart], list[bytes]]:
    zone = trust.zone_record(WARD, policy=wanted, seq=2)
    record = epochs.verified_zone(zone, trust.roots.access_root_public, TRUST)
    keyring = trust.keyring()
    keyring.add_certificates([der for _, der in more])
    kems = tuple(one.kem_public for one in (trust.adele, trust.bruno, trust.marc, *(who for who, _ in more)))
    material = epochs.SealMaterial(TRUST, keyring.offices, record, records={"kem": kems})
    made = glass.seals_of_epoch(material, trust.keys[WARD], trust.marc_signer, NOW)
    assert [one.part for one in made] == list(range(len(made)))
    return [glass.verified_part(one.body, keyring.offices) for one in made], [zone]


def opened_part(who: bundle.Bundle, parts: list[glass.GlassPart], place: int) -> tuple[glass.GlassPart, bytes]:
    part = next(one for one in parts if one.person == who.person and (one.place == glass.ASKER) == (place == 0))
    return part, who.kem.open(part.sealed, part.info)


def in_need(trust: Trust, zone: list[bytes], part: glass.GlassPart, key: Secret) -> Keyring:
    keyring = trust.keyring()
    keyring.open_in_need(key, part, zone, trust.epochs[:1], request="r1", until=NOW + DAY)
    return keyring


def test_with_one_approver_both_parts_open_the_zone_and_either_alone_does_not(trust: Trust) -> None:
    parts, zone = sealed(trust, policy(trust, 1))
    own, asker = opened_part(trust.adele, parts, 0)
    _, given = opened_part(trust.bruno, parts, 1)
    keyring = in_need(trust, zone, own, glass.combined(Secret(asker), 1, {1: given}))
    assert [(one.zone, one.need, set(one.rights)) for one in keyring.zones] == [(WARD, "r1", {"read"})]
    assert asker != trust.keys[WARD].key.reveal() != given
    for alone in (asker, given):
        with refused(Refusal.COMMITMENT):
            in_need(trust, zone, own, Secret(alone))
    with refused(Refusal.APPROVALS_MISSING):
        glass.combined(Secret(asker), 1, {})


def test_an_opening_ends_with_its_time_with_end_need_and_with_the_keyring(trust: Trust) -> None:
    parts, zone = sealed(trust, policy(trust, 0, right="write"))
    own, asker = opened_part(trust.adele, parts, 0)
    keyring = in_need(trust, zone, own, Secret(asker))
    assert keyring.can(WARD, "write")
    assert keyring.close_ended(NOW + DAY) == []
    assert keyring.close_ended(NOW + 2 * DAY) == [WARD]
    assert keyring.zones == []
    again = in_need(trust, zone, own, Secret(asker))
    assert again.end_need(WARD)
    assert not again.end_need(WARD)
    closed = in_need(trust, zone, own, Secret(asker))
    closed.close()
    with refused(Refusal.CLOSED):
        closed.open_in_need(Secret(asker), own, zone, trust.epochs[:1], request="r", until=NOW)


def test_what_was_opened_in_need_is_not_granted_by_a_renewal_and_survives_it(trust: Trust) -> None:
    parts, zone = sealed(trust, policy(trust, 0))
    own, asker = opened_part(trust.adele, parts, 0)
    keyring = in_need(trust, zone, own, Secret(asker))
    keyring.renew(trust.material(), NOW)
    assert [one.need for one in keyring.zones] == ["r1"]


def test_the_signed_policy_counts_and_not_what_a_part_says(trust: Trust) -> None:
    """A part of an older policy with fewer approvers is worth nothing under the present one."""
    parts, _ = sealed(trust, policy(trust, 0))
    own, asker = opened_part(trust.adele, parts, 0)
    for now in (policy(trust, 1), {}, policy(trust, 0, askers={"adele": "00" * 32})):
        with refused(Refusal.APPROVALS_MISSING):
            in_need(trust, [trust.zone_record(WARD, policy=now, seq=3)], own, Secret(asker))


def test_only_the_exact_certificate_of_the_policy_is_sealed_to(trust: Trust) -> None:
    """IT certifies 'adele' once more, for keys of its own: the policy names the other certificate, so nothing is sealed to them."""
    false = bundle.new_bundle("adele")
    parts, _ = sealed(trust, policy(trust, 0), (false, trust.certify(false)))
    assert [one.certificate for one in parts] == [digest(trust.adele_der)]
    named_bruno = policy(trust, 0, askers={"adele": digest(trust.bruno_der).hex()})
    assert sealed(trust, named_bruno)[0] == []


def test_with_too_few_approvers_left_nothing_is_sealed_at_all(trust: Trust) -> None:
    assert sealed(trust, policy(trust, 2))[0] == []
    assert sealed(trust, policy(trust, 1, approvers_pool={"bruno": "00" * 32}))[0] == []
    assert sealed(trust, {})[0] == []


def test_a_part_signed_by_somebody_without_the_office_is_refused(trust: Trust) -> None:
    zone = trust.zone_record(WARD, policy=policy(trust, 0), seq=2)
    record = epochs.verified_zone(zone, trust.roots.access_root_public, TRUST)
    offices = trust.keyring().offices
    material = epochs.SealMaterial(TRUST, offices, record, records={"kem": (trust.adele.kem_public,)})
    (made,) = glass.seals_of_epoch(material, trust.keys[WARD], trust.keyring().signer, NOW)
    with refused(Refusal.MANDATE_MISSING):
        glass.verified_part(made.body, offices)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_bytes_from_anywhere_are_refused_by_name(blob: bytes) -> None:
    with pytest.raises(CloisterError):
        glass.verified_part(blob, OFFICES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"approvers": 3}, {"approvers": -1}, {"seconds": 0}, {"seconds": 24 * 3600 + 1}, {"askers": {"adele": "zz"}}, {"askers": []},
        {"approvers_pool": {f"p{n}": "00" * 32 for n in range(41)}}, {"more": 1},
    ],
)  # fmt: skip
def test_a_policy_of_another_form_is_malformed(trust: Trust, wrong: dict[str, Any]) -> None:
    with refused(Refusal.MALFORMED):
        glass.policy_of({"glass": {**policy(trust, 1)["glass"], **wrong}})


def test_a_key_of_another_length_is_malformed() -> None:
    with refused(Refusal.MALFORMED):
        glass.combined(Secret(algorithms.random(31)), 1, {1: algorithms.random(32)})
