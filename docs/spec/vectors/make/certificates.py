"""Vectors of section 7: certificates and their chain. Run: see __main__.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from _cast import CAST, DAY, NOW, case, flipped, key, ms, refused
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, bundle, certificates
from cloister.zones.cbor import encoded
from cloister.zones.certificates import EXTENSION_OID

SHA = algorithms.sha256


def cases() -> list[dict[str, Any]]:
    return [*chains(), *moments(), *encodings(), *extensions()]


def given(*ders: bytes, now: Any = NOW, revoked: dict[str, Any] | None = None) -> dict[str, Any]:
    """The last is the one that is asked for."""
    return {
        **CAST.roots_given(),
        "certificates": list(ders),
        "hash": SHA(ders[-1]),
        "now": ms(now),
        "revoked": revoked or {},
    }


def says(who: bundle.Bundle, office: str | None) -> dict[str, Any]:
    return {"person": who.person, "name": who.person, "office": office, "public": who.sign_public, "kem": SHA(who.kem_public)}


def chains() -> list[dict[str, Any]]:
    root, officer, access, doctor = CAST.certificates()
    one_root = CAST.roots.certificate_root_public
    other_seed, other_root = certificates.new_root("Another root")
    forged = CAST.certified(CAST.officer, "certificate", other_seed, other_root)
    of_forged = CAST.certified(CAST.doctor, None, CAST.officer.sign_seed, forged)
    junior = bundle.Bundle("junior", Secret(key(41)), Secret(key(42)))
    by_officer = handmade(junior, office="certificate", ca=True)
    # A chain of three: the second officer was made by the first, and certifies.
    below = handmade(CAST.doctor, issuer=junior)
    by_doctor = handmade(CAST.access, issuer=CAST.doctor, office="access")
    direct = CAST.certified(CAST.doctor, None, CAST.root_seed, CAST.root_der)
    return [
        case("a doctor", "certificate", given(root, officer, doctor), says(CAST.doctor, None)),
        case("without the root's own certificate", "certificate", given(officer, doctor), says(CAST.doctor, None)),
        case("an access officer", "certificate", given(root, officer, access), says(CAST.access, "access")),
        case("a certificate officer", "certificate", given(root, officer), says(CAST.officer, "certificate")),
        refused("nobody's", "certificate", Refusal.CERTIFICATE_MISSING, {**given(root, officer, doctor), "hash": bytes(32)}),
        refused("without the officer between", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, doctor)),
        refused("of another root", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(other_root, forged)),
        refused(
            "of an officer of another root", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, other_root, forged, of_forged)
        ),
        refused("an officer made by an officer", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, officer, by_officer)),
        refused(
            "by an officer made by an officer", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, officer, by_officer, below)
        ),
        refused("certified by a doctor", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, officer, doctor, by_doctor)),
        case("a doctor certified by the root", "certificate", given(root, direct), says(CAST.doctor, None)),
        refused("one root for both", "certificate", Refusal.BOTH_OFFICES, {**given(root, officer, doctor), "access_root": one_root}),
        refused("the root itself", "certificate", Refusal.CERTIFICATE_INVALID, given(root)),
    ]


def moments() -> list[dict[str, Any]]:
    root, officer, _, doctor = CAST.certificates()
    hour = timedelta(hours=1)
    brief = CAST.certified(CAST.officer, "certificate", CAST.root_seed, CAST.root_der, days=10)
    within = CAST.certified(CAST.doctor, None, CAST.officer.sign_seed, brief, days=100, now=NOW + 9 * DAY)
    after = CAST.certified(CAST.doctor, None, CAST.officer.sign_seed, brief, days=100, now=NOW + 11 * DAY)
    before = CAST.certified(CAST.doctor, None, CAST.officer.sign_seed, brief, days=100, now=NOW - DAY)
    mine, theirs = SHA(doctor).hex(), SHA(officer).hex()
    made_at = ms(NOW)

    def revoked_case(name: str, revoked: dict[str, Any], reason: Refusal | None, now: Any = NOW + DAY) -> dict[str, Any]:
        facts = given(root, officer, doctor, now=now, revoked=revoked)
        return refused(name, "certificate", reason, facts) if reason else case(name, "certificate", facts, says(CAST.doctor, None))

    ended = Refusal.CERTIFICATE_REVOKED
    return [
        refused("not valid yet", "certificate", Refusal.CERTIFICATE_NOT_YET, given(root, officer, doctor, now=NOW - hour)),
        refused("expired", "certificate", Refusal.CERTIFICATE_EXPIRED, given(root, officer, doctor, now=NOW + 366 * DAY)),
        case("outlives its officer", "certificate", given(root, brief, within, now=NOW + 50 * DAY), says(CAST.doctor, None)),
        refused(
            "begins after its officer's term",
            "certificate",
            Refusal.CERTIFICATE_NOT_IN_CHAIN,
            given(root, brief, after, now=NOW + 50 * DAY),
        ),
        refused("begins before its officer's term", "certificate", Refusal.CERTIFICATE_NOT_IN_CHAIN, given(root, brief, before)),
        revoked_case("revoked for ever", {mine: None}, ended),
        revoked_case("revoked before now", {mine: made_at + 3_600_000}, ended),
        revoked_case("revoked later", {mine: made_at + 7 * 86_400_000}, None),
        revoked_case("another was revoked", {SHA(b"other").hex(): None}, None),
        revoked_case("its officer was revoked afterwards", {theirs: made_at + 3_600_000}, None),
        revoked_case("its officer was revoked before", {theirs: made_at - 3_600_000}, ended),
        revoked_case("its officer was revoked for ever", {theirs: None}, ended),
    ]


def encodings() -> list[dict[str, Any]]:
    root, officer, _, doctor = CAST.certificates()
    parsed = x509.load_der_x509_certificate(doctor)
    tbs, signature = parsed.tbs_certificate_bytes, parsed.signature
    algorithm = bytes.fromhex("300506032b6570")

    def outer(inside: bytes, length: bytes | None = None) -> bytes:
        return b"\x30" + (length or b"\x82" + len(inside).to_bytes(2, "big")) + inside

    bits = b"\x03\x41\x00" + signature
    longer_length = tbs + algorithm + b"\x03\x81\x41\x00" + signature
    whole = tbs + algorithm + bits
    wrong = {
        "a changed signature": (Refusal.CERTIFICATE_NOT_IN_CHAIN, flipped(doctor)),
        "a changed name": (Refusal.CERTIFICATE_NOT_IN_CHAIN, doctor.replace(b"doctor", b"hacker", 1)),
        "something after the end": (Refusal.CERTIFICATE_INVALID, doctor + b"\x00"),
        "cut short": (Refusal.CERTIFICATE_INVALID, doctor[:-1]),
        "a longer length of the signature": (Refusal.CERTIFICATE_INVALID, outer(longer_length)),
        "a longer length of the whole": (Refusal.CERTIFICATE_INVALID, outer(whole, b"\x83" + len(whole).to_bytes(3, "big"))),
        "a null in the outer algorithm": (Refusal.CERTIFICATE_INVALID, outer(tbs + bytes.fromhex("300706032b65700500") + bits)),
        "nothing": (Refusal.CERTIFICATE_INVALID, b""),
        "no DER at all": (Refusal.CERTIFICATE_INVALID, b"certificate"),
    }
    assert outer(whole) == doctor
    return [refused(f"encoding: {name}", "certificate", reason, given(root, officer, der)) for name, (reason, der) in wrong.items()]


def extensions() -> list[dict[str, Any]]:
    root, officer, *_ = CAST.certificates()
    body = {"person": "doctor", "kem": SHA(CAST.doctor.kem_public), "office": None}
    wrong: dict[str, bytes] = {
        "no extension": handmade(CAST.doctor, extension=b""),
        "an office that nobody knows": handmade(CAST.doctor, office="king"),
        "office certificate without CA": handmade(CAST.doctor, office="certificate"),
        "a CA without the office": handmade(CAST.doctor, ca=True),
        "a short key hash": handmade(CAST.doctor, extension=octets(encoded({**body, "kem": bytes(31)}))),
        "a field that nobody knows": handmade(CAST.doctor, extension=octets(encoded({**body, "note": "x"}))),
        "a field missing": handmade(CAST.doctor, extension=octets(encoded({"person": "doctor", "office": None}))),
        "CBOR that is not canonical": handmade(CAST.doctor, extension=octets(b"\xb8\x03" + encoded(body)[1:])),
        "a value that is no OCTET STRING": handmade(CAST.doctor, extension=encoded(body)),
        "something after the OCTET STRING": handmade(CAST.doctor, extension=octets(encoded(body)) + b"\x00"),
    }
    good = handmade(CAST.doctor)
    other_kind = handmade(CAST.doctor, public=ec.derive_private_key(7, ec.SECP256R1()).public_key())
    anybody = handmade(CAST.doctor, public=Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31)))
    no_cbor = {"a short key hash", "a field that nobody knows", "a field missing", "CBOR that is not canonical"}
    reasons = {name: Refusal.MALFORMED if name in no_cbor else Refusal.CERTIFICATE_INVALID for name in wrong}
    return [
        case("made by hand", "certificate", given(root, officer, good), says(CAST.doctor, None)),
        refused("a key of another kind", "certificate", Refusal.ALGORITHM, given(root, officer, other_kind)),
        refused(
            "a key of small order, under which anybody signs", "certificate", Refusal.CERTIFICATE_INVALID, given(root, officer, anybody)
        ),
        *(refused(f"extension: {name}", "certificate", reasons[name], given(root, officer, der)) for name, der in wrong.items()),
    ]


def octets(body: bytes) -> bytes:
    return b"\x04" + (bytes([len(body)]) if len(body) < 128 else b"\x81" + bytes([len(body)])) + body


def handmade(
    who: bundle.Bundle,
    *,
    issuer: bundle.Bundle | None = None,
    office: str | None = None,
    ca: bool = False,
    extension: bytes | None = None,
    public: Any = None,
) -> bytes:
    """A certificate with whatever is wanted in it, by an officer or by whoever plays one."""
    by = issuer or CAST.officer
    value = octets(encoded({"person": who.person, "kem": SHA(who.kem_public), "office": office})) if extension is None else extension
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who.person)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by.person)]))
        .public_key(public or Ed25519PrivateKey.from_private_bytes(who.sign_seed.reveal()).public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(SHA(who.sign_public)[:20]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(SHA(by.sign_public)[:20], None, None), critical=False)
        .add_extension(usage(ca), critical=True)
    )
    if value:
        builder = builder.add_extension(x509.UnrecognizedExtension(EXTENSION_OID, value), critical=False)
    return builder.sign(Ed25519PrivateKey.from_private_bytes(by.sign_seed.reveal()), None).public_bytes(Encoding.DER)


def usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not ca, False, False, False, False, ca, False, False, False)
