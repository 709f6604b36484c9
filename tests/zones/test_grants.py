"""The medical officer grants, IT certifies, and neither can do the other's part. What a keyring accepts, and why not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import DAY, NOW, OTHER_WARD, TRUST, WARD, Trust, digest, refused

from cloister.base.errors import CloisterError
from cloister.zones import Keyring, Refusal, TrustRoots, algorithms, bundle, certificates, envelope, epochs, grants
from cloister.zones.cbor import decoded, encoded


def test_adele_opens_the_ward_that_marc_granted_her(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant())
    assert keyring.person == "adele"
    assert [zone.zone for zone in keyring.zones] == [WARD]
    assert keyring.can(WARD, "read")
    assert keyring.can(WARD, "write")
    assert not keyring.can(OTHER_WARD, "read")
    assert keyring.refused == []
    assert keyring.index_key(WARD) == trust.index_keys[WARD].reveal()


def test_a_right_to_read_is_none_to_write(trust: Trust) -> None:
    keyring = trust.keyring(trust.grant(right="read"))
    assert keyring.can(WARD, "read")
    assert not keyring.can(WARD, "write")
    with refused(Refusal.RIGHT_MISSING):
        keyring.wrap(WARD, "dossier", 1, epochs.new_zone_key())
    with refused(Refusal.RIGHT_MISSING):
        keyring.shard_seal(WARD, 0, b"names")


def test_marc_holds_keys_to_grant_them_and_reads_nothing(trust: Trust) -> None:
    holding = trust.grant(trust.marc, trust.marc_der, right="hold", signer=trust.root_signer)
    marc = trust.keyring(holding, who=trust.marc)
    assert [zone.rights for zone in marc.zones] == [frozenset()]
    wrapped = trust.keyring(trust.grant()).wrap(WARD, "dossier", 1, epochs.new_zone_key())
    with refused(Refusal.RIGHT_MISSING):
        marc.unwrap(WARD, 1, "dossier", 1, wrapped)
    with refused(Refusal.RIGHT_MISSING):
        marc.shard_open(WARD, 0, bytes(64))


def test_marc_cannot_grant_to_himself(trust: Trust) -> None:
    with refused(Refusal.GRANT_SELF):
        trust.grant(trust.marc, trust.marc_der)
    other_der = trust.certify(trust.marc)  # a second certificate, for the same person and keys
    granted = trust.grant(trust.marc, other_der)
    material = trust.material(granted, certificates=[*trust.material().certificates, other_der])
    keyring = Keyring.open(bundle=trust.marc, trust=trust.roots, material=material, now=NOW)
    assert [reason for _, reason in keyring.refused] == [Refusal.GRANT_SELF]


def test_marc_cannot_hide_behind_a_second_name_with_the_same_key(trust: Trust) -> None:
    alias = bundle.Bundle("marc-2", trust.marc.kem_seed, trust.marc.sign_seed)
    der = trust.certify(alias)
    keyring = Keyring.open(
        bundle=alias,
        trust=trust.roots,
        material=trust.material(trust.grant(alias, der), certificates=[*trust.material().certificates, der]),
        now=NOW,
    )
    assert [reason for _, reason in keyring.refused] == [Refusal.GRANT_SELF]


def test_it_cannot_re_issue_adele_with_a_new_key_and_inherit_her_grants(trust: Trust) -> None:
    impostor = bundle.new_bundle("adele")
    der = trust.certify(impostor)
    material = trust.material(trust.grant(), certificates=[*trust.material().certificates, der])
    keyring = Keyring.open(bundle=impostor, trust=trust.roots, material=material, now=NOW)
    assert keyring.zones == []
    assert [reason for _, reason in keyring.refused] == [Refusal.GRANT_CERTIFICATE_MISMATCH]


def test_a_grant_for_another_certificate_of_adele_is_refused_unless_it_holds_too(trust: Trust) -> None:
    renewed = trust.certify(trust.adele)
    granted = trust.grant(der=renewed)
    assert trust.only_refusal(granted) is Refusal.GRANT_CERTIFICATE_MISMATCH
    assert trust.keyring(granted, certificates=[*trust.material().certificates, renewed]).zones
    revoked = trust.keyring(
        granted, certificates=[*trust.material().certificates, renewed], revoked_certificates={digest(renewed): NOW - DAY}
    )
    assert [reason for _, reason in revoked.refused] == [Refusal.GRANT_CERTIFICATE_MISMATCH]


def test_a_grant_to_bruno_opens_nothing_for_adele(trust: Trust) -> None:
    assert trust.only_refusal(trust.grant(trust.bruno)) is Refusal.GRANT_OTHER_PERSON


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"live_until": NOW - timedelta(seconds=1)}, Refusal.GRANT_EXPIRED),
        ({"not_before": NOW + timedelta(seconds=1)}, Refusal.GRANT_NOT_YET),
        ({"epoch": 1, "floor": 2}, Refusal.EPOCH_FLOOR),
        ({"epoch": 2}, Refusal.EPOCH_MISSING),
        ({"zone_key": epochs.new_zone_key()}, Refusal.COMMITMENT),
        ({"kem_public": algorithms.kem_public(bytes(32))}, Refusal.TAG),
        ({"trust": "another-trust"}, Refusal.TRUST),
        ({"seq": 0}, Refusal.MALFORMED),
    ],
)
def test_a_grant_outside_its_terms_is_refused_by_name(trust: Trust, terms: dict[str, object], reason: Refusal) -> None:
    assert trust.only_refusal(trust.grant(**terms)) is reason


def test_a_revoked_grant_is_refused_and_no_older_one_takes_its_place(trust: Trust) -> None:
    first = trust.grant()
    second = trust.grant(seq=2, previous=envelope.digest(first))
    keyring = trust.keyring(first, second, revoked_grants=[envelope.digest(second)])
    assert keyring.zones == []
    assert {reason for _, reason in keyring.refused} == {Refusal.GRANT_REPLAYED, Refusal.GRANT_REVOKED}


def test_a_replayed_older_grant_changes_nothing(trust: Trust) -> None:
    first = trust.grant(right="write")
    second = trust.grant(right="read", seq=2, previous=envelope.digest(first))
    for order in ((first, second), (second, first)):
        keyring = trust.keyring(*order)
        assert not keyring.can(WARD, "write")
        assert [reason for _, reason in keyring.refused] == [Refusal.GRANT_REPLAYED]
    assert trust.keyring(first, first).refused == []


def test_two_grants_of_the_same_number_are_a_broken_chain(trust: Trust) -> None:
    first, twin = trust.grant(), trust.grant(right="read")
    assert Refusal.CHAIN_BROKEN in {reason for _, reason in trust.keyring(first, twin).refused}
    stranger = trust.grant(seq=2, previous=bytes(32))
    assert Refusal.CHAIN_BROKEN in {reason for _, reason in trust.keyring(first, stranger).refused}


def test_a_grant_signed_by_a_clinician_is_refused(trust: Trust) -> None:
    signer = envelope.person_signer(digest(trust.bruno_der), trust.bruno.signing)
    assert trust.only_refusal(trust.grant(signer=signer)) is Refusal.MANDATE_MISSING


def test_a_grant_signed_by_the_certificate_officer_is_refused(trust: Trust) -> None:
    signer = envelope.person_signer(digest(trust.ines_der), trust.ines.signing)
    assert trust.only_refusal(trust.grant(signer=signer)) is Refusal.MANDATE_MISSING
    mandated = [*trust.mandates, trust.access_mandate(trust.ines, trust.ines_der)]
    assert trust.only_refusal(trust.grant(signer=signer), mandates=mandated) is Refusal.BOTH_OFFICES


def test_a_grant_signed_by_the_certificate_root_is_refused(trust: Trust) -> None:
    signer = envelope.Signer(envelope.ROOT_ACCESS, algorithms.SignPrivate(trust.certificate_root.reveal()))
    assert trust.only_refusal(trust.grant(signer=signer)) is Refusal.SIGNATURE
    signer = envelope.certificate_root(trust.certificate_root)
    assert trust.only_refusal(trust.grant(signer=signer)) is Refusal.MALFORMED


def test_nobody_holds_both_offices(trust: Trust) -> None:
    both = grants.mandate(trust.certificate_root, "certificate", digest(trust.marc_der), "marc", "hold", None, NOW + DAY, trust=TRUST)
    assert trust.only_refusal(trust.grant(), mandates=[*trust.mandates, both]) is Refusal.BOTH_OFFICES


def test_an_access_officer_who_has_a_certifying_certificate_is_refused(trust: Trust) -> None:
    der = trust.certify(trust.marc, "certificate", seed=trust.certificate_root, issuer=trust.root_der)
    certificates_now = [*trust.material().certificates, der]
    assert trust.only_refusal(trust.grant(), certificates=certificates_now) is Refusal.BOTH_OFFICES


def test_an_access_root_that_is_a_certificate_officers_key_is_refused(trust: Trust) -> None:
    roots = TrustRoots(TRUST, trust.roots.certificate_root_public, trust.ines.sign_public)
    signer = envelope.Signer(envelope.ROOT_ACCESS, trust.ines.signing)
    keyring = Keyring.open(bundle=trust.adele, trust=roots, material=trust.material(trust.grant(signer=signer), mandates=[]), now=NOW)
    assert [reason for _, reason in keyring.refused] == [Refusal.BOTH_OFFICES]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"ceiling": "read"}, Refusal.ABOVE_CEILING),
        ({"zones": [OTHER_WARD]}, Refusal.ABOVE_CEILING),
        ({"not_after": NOW - DAY}, Refusal.MANDATE_EXPIRED),
    ],
)
def test_an_officer_grants_within_the_own_mandate(trust: Trust, terms: dict[str, object], reason: Refusal) -> None:
    mandates = [trust.mandates[0], trust.access_mandate(trust.marc, trust.marc_der, **terms)]
    assert trust.only_refusal(trust.grant(), mandates=mandates) is reason


def test_a_mandate_is_for_the_exact_certificate_and_person(trust: Trust) -> None:
    renewed = trust.certify(trust.marc, "access")
    signer = envelope.person_signer(digest(renewed), trust.marc.signing)
    known = [*trust.material().certificates, renewed]
    assert trust.only_refusal(trust.grant(signer=signer), certificates=known) is Refusal.MANDATE_MISSING
    other = grants.mandate(trust.access_root, "access", digest(trust.marc_der), "bruno", "write", None, NOW + DAY, trust=TRUST)
    assert trust.only_refusal(trust.grant(), mandates=[trust.mandates[0], other]) is Refusal.MANDATE_EXPIRED


def test_a_mandate_of_the_wrong_root_or_trust_is_refused(trust: Trust) -> None:
    body = envelope.peek_body(trust.mandates[1])
    forged = envelope.certificate_root(trust.certificate_root).sign(grants.MANDATE_LABEL, body)
    with refused(Refusal.SWAPPED):
        grants.verified_mandate(forged, trust.roots)
    with refused(Refusal.MANDATE_MISSING):
        grants.verified_mandate(trust.marc_signer.sign(grants.MANDATE_LABEL, body), trust.roots)
    elsewhere = trust.access_mandate(trust.marc, trust.marc_der)
    with refused(Refusal.TRUST):
        grants.verified_mandate(elsewhere, TrustRoots("other", trust.roots.certificate_root_public, trust.roots.access_root_public))


def test_a_revoked_or_expired_officer_grants_no_longer(trust: Trust) -> None:
    revoked = {digest(trust.marc_der): NOW - timedelta(hours=1)}
    assert trust.only_refusal(trust.grant(), revoked_certificates=revoked) is Refusal.CERTIFICATE_REVOKED
    missing = [trust.root_der, trust.ines_der, trust.adele_der]
    assert trust.only_refusal(trust.grant(), certificates=missing) is Refusal.CERTIFICATE_MISSING


def test_without_a_valid_certificate_of_her_own_adele_opens_nothing(trust: Trust) -> None:
    with refused(Refusal.CERTIFICATE_MISSING):
        trust.keyring(trust.grant(), certificates=[trust.root_der, trust.ines_der])
    with refused(Refusal.CERTIFICATE_REVOKED):
        trust.keyring(trust.grant(), revoked_certificates={digest(trust.adele_der): NOW})
    with refused(Refusal.CERTIFICATE_EXPIRED):
        trust.keyring(trust.grant(), now=NOW + 400 * DAY)
    half = bundle.Bundle("adele", bundle.new_bundle("x").kem_seed, trust.adele.sign_seed)
    with refused(Refusal.CERTIFICATE_OTHER_KEYS):
        trust.keyring(trust.grant(), who=half)
    renamed = bundle.Bundle("bruno", trust.adele.kem_seed, trust.adele.sign_seed)
    with refused(Refusal.CERTIFICATE_OTHER_KEYS):
        trust.keyring(trust.grant(), who=renamed)


def test_zone_and_epoch_records_must_be_signed_by_an_access_officer(trust: Trust) -> None:
    clinician = envelope.person_signer(digest(trust.bruno_der), trust.bruno.signing)
    forged_zone = trust.zone_record(WARD, signer=clinician, policy={"open": True})
    assert trust.only_refusal(trust.grant(), zones=[forged_zone]) is Refusal.MANDATE_MISSING
    assert trust.only_refusal(trust.grant(), zones=[]) is Refusal.ZONE_MISSING
    forged_epoch = trust.epoch_record(trust.keys[WARD], signer=clinician)
    assert trust.only_refusal(trust.grant(), epochs=[forged_epoch]) is Refusal.MANDATE_MISSING
    assert trust.only_refusal(trust.grant(), epochs=[]) is Refusal.EPOCH_MISSING
    assert trust.keyring(trust.grant(), zones=[forged_zone, *trust.zones]).can(WARD, "write")
    assert trust.keyring(trust.grant(), zones=[trust.zone_record(WARD, signer=trust.marc_signer)]).can(WARD, "write")


def test_the_newest_zone_record_counts(trust: Trust) -> None:
    newer = trust.zone_record(WARD, policy={"approvals": 2}, seq=2)
    for order in ([*trust.zones, newer], [newer, *trust.zones]):
        assert trust.keyring(trust.grant(), zones=order).zones[0].policy == {"approvals": 2}


def test_records_that_are_no_records_are_missed_by_name(trust: Trust) -> None:
    junk = [b"", b"\x80", encoded(["a", 1, "b", encoded({}), b""]), trust.grant(), trust.mandates[0]]
    assert trust.only_refusal(trust.grant(), zones=junk) in {Refusal.ZONE_MISSING, Refusal.LABEL}
    assert trust.only_refusal(trust.grant(), epochs=junk[:3]) is Refusal.EPOCH_MISSING
    assert trust.only_refusal(trust.grant(), epochs=[trust.grant()]) is Refusal.LABEL


def test_nonsense_beside_good_rows_takes_nothing_away(trust: Trust) -> None:
    junk = [b"", b"junk", algorithms.sha256(trust.roots.certificate_root_public), bytes(300)]
    keyring = trust.keyring(
        trust.grant(),
        *junk,
        certificates=[*junk, *trust.material().certificates],
        mandates=[*junk, *trust.mandates],
        zones=[*junk, *trust.zones],
        epochs=[*junk, *trust.epochs],
    )
    assert keyring.can(WARD, "write")


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 3_000))
def test_every_changed_or_cut_grant_is_refused_by_name(trust: Trust, place: int, change: int, cut: int) -> None:
    blob = bytearray(GRANT.setdefault("blob", trust.grant()))
    blob[place % len(blob)] ^= change
    for wrong in (bytes(blob), bytes(blob)[:cut]):
        keyring = trust.keyring(wrong)
        assert keyring.zones == []
        assert len(keyring.refused) == 1


GRANT: dict[str, bytes] = {}


@given(st.sampled_from(["zone", "epoch", "floor", "person", "certificate", "right", "live_until", "reason", "seq", "previous"]), st.data())
def test_no_field_of_a_grant_can_be_changed_under_its_seal(trust: Trust, field: str, data: st.DataObject) -> None:
    """Even Marc himself cannot move the sealed key under other terms: the seal is bound to them."""
    body = envelope.peek_body(trust.grant(trust.adele, right="read"))
    other = {
        "zone": OTHER_WARD,
        "epoch": 2,
        "floor": 0,
        "person": "bruno",
        "certificate": digest(trust.bruno_der),
        "right": data.draw(st.sampled_from(["write", "hold", "root"])),
        "live_until": body["live_until"] + 1,
        "reason": "another",
        "seq": 3,
        "previous": bytes(31) + b"\1",
    }
    keyring = trust.keyring(trust.marc_signer.sign(grants.GRANT_LABEL, {**body, field: other[field]}))
    assert keyring.zones == []
    assert len(keyring.refused) == 1


names = st.sampled_from(["zone", "epoch", "person", "certificate", "sealed", "trust", "extra"])


@given(st.dictionaries(names, st.none() | st.integers() | st.text(max_size=3), min_size=1))
def test_a_signed_grant_of_the_wrong_form_is_refused_by_name(trust: Trust, changes: dict[str, object]) -> None:
    body = {**envelope.peek_body(GRANT.setdefault("blob", trust.grant())), **changes}
    keyring = trust.keyring(trust.marc_signer.sign(grants.GRANT_LABEL, body))
    assert keyring.zones == []


def test_verified_grant_says_what_it_verified(trust: Trust) -> None:
    known = certificates.Certificates(trust.roots, trust.material().certificates)
    found = grants.verified_grant(trust.grant(), trust=trust.roots, certificates=known, mandates=trust.mandates, now=NOW)
    assert (found.zone, found.person, found.right, found.floor) == (WARD, "adele", "write", 1)
    with pytest.raises(CloisterError) as late:
        grants.verified_grant(trust.grant(), trust=trust.roots, certificates=known, mandates=trust.mandates, now=NOW + 31 * DAY)
    assert late.value.reason == Refusal.GRANT_EXPIRED


def test_a_grant_signed_with_another_algorithm_is_refused(trust: Trust) -> None:
    label, _, signer, raw, _ = decoded(trust.grant())
    signature = trust.marc.signing.sign(encoded([label, 2, signer, raw]))
    assert trust.only_refusal(encoded([label, 2, signer, raw, signature])) is Refusal.ALGORITHM
