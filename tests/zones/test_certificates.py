"""IT certifies who has which keys: exactly that, and nothing else."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import DAY, NOW, TRUST, Trust, digest, refused

from cloister.base.errors import CloisterError, Invalid
from cloister.base.secret import Secret
from cloister.zones import Refusal, TrustRoots, algorithms, bundle, certificates

CERTIFICATE_REFUSALS = {one for one in Refusal if one.startswith("certificate-")} | {Refusal.MALFORMED, Refusal.ALGORITHM}


def verified(trust: Trust, der: bytes, **changed: object) -> certificates.Certified:
    terms = {"roots": trust.roots, "intermediates": [trust.ines_der], "now": NOW, **changed}
    return certificates.verified_certificate(der, **terms)  # type: ignore[arg-type]


def test_a_certificate_says_whose_keys_these_are(trust: Trust) -> None:
    found = verified(trust, trust.adele_der)
    assert (found.person, found.name, found.office) == ("adele", "Adele", None)
    assert found.sign_public == trust.adele.sign_public
    assert found.kem_digest == algorithms.sha256(trust.adele.kem_public)
    assert found.hash == digest(trust.adele_der)
    assert verified(trust, trust.ines_der, intermediates=[]).office == "certificate"
    assert verified(trust, trust.marc_der).office == "access"


def test_a_certificate_holds_only_in_its_time(trust: Trust) -> None:
    with refused(Refusal.CERTIFICATE_EXPIRED):
        verified(trust, trust.adele_der, now=NOW + 400 * DAY)
    with refused(Refusal.CERTIFICATE_NOT_YET):
        verified(trust, trust.adele_der, now=NOW - 2 * DAY)


def test_a_revoked_certificate_is_refused_from_that_moment_on(trust: Trust) -> None:
    with refused(Refusal.CERTIFICATE_REVOKED):
        verified(trust, trust.adele_der, revoked={digest(trust.adele_der)})
    since = {digest(trust.adele_der): NOW}
    with refused(Refusal.CERTIFICATE_REVOKED):
        verified(trust, trust.adele_der, revoked=since)
    assert verified(trust, trust.adele_der, revoked=since, now=NOW - timedelta(hours=1)).person == "adele"


def test_what_ines_certified_before_she_left_still_holds(trust: Trust) -> None:
    assert verified(trust, trust.adele_der, revoked={digest(trust.ines_der): NOW}).person == "adele"
    with refused(Refusal.CERTIFICATE_REVOKED):
        verified(trust, trust.adele_der, revoked={digest(trust.ines_der): NOW - 10 * DAY})
    with refused(Refusal.CERTIFICATE_REVOKED):
        verified(trust, trust.adele_der, revoked={digest(trust.ines_der)})


def test_a_certificate_of_another_trust_is_refused(trust: Trust) -> None:
    other = Trust()
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, other.adele_der, intermediates=[other.ines_der])
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, trust.adele_der, intermediates=[])


def test_a_clinician_cannot_certify(trust: Trust) -> None:
    friend = bundle.new_bundle("friend")
    made = trust.certify(friend, seed=trust.adele.sign_seed, issuer=trust.adele_der)
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, made, intermediates=[trust.ines_der, trust.adele_der])


def test_a_certificate_officer_makes_no_further_officers(trust: Trust) -> None:
    friend = bundle.new_bundle("friend")
    second = trust.certify(friend, "certificate")
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, second)
    third = trust.certify(bundle.new_bundle("third"), seed=friend.sign_seed, issuer=second)
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, third, intermediates=[trust.ines_der, second])


def test_an_officer_certifies_only_within_the_own_term(trust: Trust) -> None:
    officer = bundle.new_bundle("short")
    der = trust.certify(officer, "certificate", seed=trust.certificate_root, issuer=trust.root_der, days=1, now=NOW - 3 * DAY)
    late = trust.certify(trust.adele, seed=officer.sign_seed, issuer=der, now=NOW - DAY / 2)
    with refused(Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, late, intermediates=[der])


def test_an_officer_cannot_sign_with_another_key(trust: Trust) -> None:
    with refused(Refusal.CERTIFICATE_OTHER_KEYS):
        trust.certify(trust.adele, seed=trust.bruno.sign_seed)


def test_the_root_itself_is_no_persons_certificate(trust: Trust) -> None:
    with refused(Refusal.CERTIFICATE_INVALID):
        verified(trust, trust.root_der)


@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_every_changed_certificate_is_refused_by_name(trust: Trust, data: st.DataObject) -> None:
    der = bytearray(trust.adele_der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CloisterError) as error:
        verified(trust, bytes(der))
    assert error.value.reason in CERTIFICATE_REFUSALS


@pytest.mark.filterwarnings("ignore")  # the library warns of certificates that we go on to refuse
def test_every_single_changed_byte_of_a_certificate_is_refused(trust: Trust) -> None:
    """Also in the bytes around what was signed: another hash for the same certificate would evade its revocation."""
    for place in range(len(trust.adele_der)):
        for change in (1, 0x20, 0x80, 0xFF):
            der = bytearray(trust.adele_der)
            der[place] ^= change
            with pytest.raises(CloisterError) as error:
                verified(trust, bytes(der))
            assert error.value.reason in CERTIFICATE_REFUSALS
    with refused(Refusal.CERTIFICATE_INVALID):
        verified(trust, trust.adele_der + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_given_as_a_certificate_are_refused_by_name(trust: Trust, junk: bytes) -> None:
    with refused(Refusal.CERTIFICATE_INVALID, Refusal.CERTIFICATE_NOT_IN_CHAIN):
        verified(trust, junk)


@given(st.data())
def test_a_certificate_cut_short_is_refused(trust: Trust, data: st.DataObject) -> None:
    with refused(Refusal.CERTIFICATE_INVALID):
        verified(trust, trust.adele_der[: data.draw(st.integers(0, len(trust.adele_der) - 1))])


def test_a_certificate_with_another_kind_of_key_is_refused(trust: Trust) -> None:
    _, pem = certificates.new_tls_ca("A TLS authority")
    der = pem_to_der(pem)
    with refused(Refusal.CERTIFICATE_INVALID):
        verified(trust, der)


def pem_to_der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def test_one_key_may_not_be_both_roots() -> None:
    with refused(Refusal.BOTH_OFFICES):
        TrustRoots(TRUST, bytes(32), bytes(32))


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_does_not_fit_is_an_error_with_a_hint(trust: Trust, name: str) -> None:
    who = trust.adele
    with pytest.raises(Invalid):
        certificates.certificate(trust.ines.sign_seed, trust.ines_der, "adele", name, who.sign_public, who.kem_public, None, 365, NOW)


def test_the_gateways_certificate_names_its_hosts() -> None:
    key, ca = certificates.new_tls_ca("Cloister local authority")
    own, chain = certificates.tls_certificate(key, ca, ["localhost", "127.0.0.1", "::1"], 397)
    assert own.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert chain.count(b"BEGIN CERTIFICATE") == 2
    with pytest.raises(Invalid):
        certificates.tls_certificate(key, ca, [], 397)


def test_a_root_can_be_made_from_its_seed_only_by_its_holder(trust: Trust) -> None:
    assert certificates.public_of(trust.root_der) == algorithms.sign_public(trust.certificate_root.reveal())
    with refused(Refusal.CERTIFICATE_OTHER_KEYS):
        trust.certify(trust.adele, seed=Secret(bytes(32)), issuer=trust.root_der)
