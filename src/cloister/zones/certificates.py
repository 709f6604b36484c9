"""Certificates: IT's certificate officer says whose public keys these are. X.509 (RFC 5280), Ed25519 (RFC 8410).
Spec: docs/spec/zones.md 7.

A private extension carries the person's id, the SHA-256 of the HPKE public key, and the office, if any.
The chain is root (pinned in the server image) -> certificate officer -> person, and never longer. Also
here, because they make X.509 too: the certificates of the gateway's TLS, which protect no record.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.audit_keys import AuditPin
from cloister.zones.cbor import Fields, decoded, encoded
from cloister.zones.refusals import Forged, Refusal, Refused

# ITU-T X.667: an arc under 2.25 made from a UUID needs no registration.
EXTENSION_OID: Final = ObjectIdentifier(f"2.25.{uuid.UUID('6c0f2c1e-58b7-4d0e-9a53-0f3f5d9d7c61').int}")
DER_BYTES_MAX: Final = 16_384
NAME_CHARACTERS_MAX: Final = 64  # ub-common-name, RFC 5280 appendix A.1
ROOT_YEARS: Final = 30
CERTIFICATE_OFFICE: Final = "certificate"
OFFICES: Final = (CERTIFICATE_OFFICE, "access", None)
ED25519_IDENTIFIER: Final = bytes.fromhex("300506032b6570")  # RFC 8410 section 3: no parameters
CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class TrustRoots:
    """The two pinned roots of one trust. Nobody may hold both."""

    trust_id: str
    certificate_root_public: bytes
    access_root_public: bytes
    # Set by every server: a session then believes only what is in the audit log. None where no log is: founding, verifying offline.
    audit: AuditPin | None = None

    def __post_init__(self) -> None:
        if self.certificate_root_public == self.access_root_public:
            raise Refused(Refusal.BOTH_OFFICES)


@dataclass(frozen=True, slots=True)
class Certified:
    """What a certificate says, once its chain has been verified."""

    person: str
    name: str
    sign_public: bytes
    kem_digest: bytes
    hash: bytes
    not_before: datetime
    not_after: datetime
    office: str | None
    issuer: bytes  # public key that signed it

    def check_moment(self, moment: datetime) -> None:
        if moment < self.not_before:
            raise Refused(Refusal.CERTIFICATE_NOT_YET, hint="Check the server's clock.")
        if moment > self.not_after:
            raise Refused(Refusal.CERTIFICATE_EXPIRED, hint="Ask the certificate officer for a new certificate.")


def new_root(common_name: str) -> tuple[Secret, bytes]:
    """A new root: its seed and its self-signed certificate (DER)."""
    seed = algorithms.random(32)
    now = datetime.now(UTC)
    public = algorithms.sign_public(seed)
    builder = _builder(_name(common_name), _name(common_name), public, public, now, 365 * ROOT_YEARS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return Secret(seed), _der(builder.add_extension(_key_usage(ca=True), critical=True), seed)


def public_of(der: bytes) -> bytes:
    """The signing key in a certificate, unverified: for founding, where the root is made."""
    return _public(_parsed(der))


def certificate(
    officer_seed: bytes | Secret,
    officer_der: bytes,
    person: str,
    name: str,
    sign_public: bytes,
    kem_public: bytes,
    office: str | None,
    days: int,
    now: datetime,
) -> bytes:
    """A person's certificate, signed by the root (for a certificate officer) or by a certificate officer."""
    seed = officer_seed.reveal() if isinstance(officer_seed, Secret) else officer_seed
    issuer = _parsed(officer_der)
    if algorithms.sign_public(seed) != _public(issuer):
        raise Refused(Refusal.CERTIFICATE_OTHER_KEYS)
    if len(sign_public) != 32 or len(kem_public) != algorithms.KEM_PUBLIC_BYTES:
        raise Invalid("These are not the public keys of a person.")
    builder = _builder(_name(name), issuer.subject, sign_public, _public(issuer), now - CLOCK_SKEW, days)
    ca = office == CERTIFICATE_OFFICE
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
    builder = builder.add_extension(_key_usage(ca=ca), critical=True)
    body = encoded({"person": person, "kem": algorithms.sha256(kem_public), "office": office})
    builder = builder.add_extension(x509.UnrecognizedExtension(EXTENSION_OID, _octets(body)), critical=False)
    return _der(builder, seed)


def verified_certificate(
    der: bytes,
    *,
    roots: TrustRoots,
    intermediates: Iterable[bytes] = (),
    revoked: set[bytes] | frozenset[bytes] | Mapping[bytes, datetime] = frozenset(),
    now: datetime,
) -> Certified:
    """What the certificate says, if it leads to the root, holds now and was not revoked."""
    return Certificates(roots, [*intermediates, der], revoked).valid(algorithms.sha256(der), now)


class Certificates:
    """The certificates of a trust, each verified at most once. Revocations: a set, or hash -> when."""

    def __init__(self, roots: TrustRoots, ders: Iterable[bytes], revoked: Iterable[bytes] | Mapping[bytes, datetime] = ()) -> None:
        self.roots = roots
        self._ders: dict[bytes, bytes] = {}
        self._root_issued: list[bytes] = []  # hashes of what names the root as its issuer; verified before use
        self._verified: dict[bytes, Certified] = {}
        self._refused: dict[bytes, Refusal] = {}
        self._revoked: dict[bytes, datetime | None] = {}
        self.revoke(revoked)
        self.add(ders)

    def add(self, ders: Iterable[bytes]) -> None:
        """Learn more certificates; nothing is verified until it is asked for."""
        for der in ders:
            hashed = algorithms.sha256(der)
            if hashed in self._ders:
                continue
            self._ders[hashed] = der
            if _key_identifier(self.roots.certificate_root_public) in der:
                self._root_issued.append(hashed)
            self._refused.clear()  # a chain may be whole now

    def revoke(self, revoked: Iterable[bytes] | Mapping[bytes, datetime]) -> None:
        """The earliest moment counts, and none at all counts for ever."""
        for hashed, since in (revoked if isinstance(revoked, Mapping) else dict.fromkeys(revoked)).items():
            known = self._revoked.get(hashed, since)
            self._revoked[hashed] = None if known is None or since is None else min(known, since)

    def __contains__(self, hashed: bytes) -> bool:
        return hashed in self._ders

    def der(self, hashed: bytes) -> bytes:
        """A certificate as it was handed over, for issuing under it."""
        if hashed not in self._ders:
            raise Forged(Refusal.CERTIFICATE_MISSING)
        return self._ders[hashed]

    def naming(self, public: bytes) -> list[bytes]:
        """Hashes of the certificates in which this public key stands, still unverified."""
        return [hashed for hashed, der in self._ders.items() if public in der]

    def chained(self, hashed: bytes) -> Certified:
        """What the certificate says, if it leads to the root; whenever it was valid."""
        found = self._verified.get(hashed)
        if found is None:
            if hashed in self._refused:
                raise Forged(self._refused[hashed])
            try:
                found = self._verified[hashed] = self._chain(hashed)
            except Forged as refused:
                self._refused[hashed] = refused.refusal
                raise
        return found

    def valid(self, hashed: bytes, moment: datetime) -> Certified:
        """The same, and valid at that moment: neither expired nor revoked by then."""
        found = self.chained(hashed)
        found.check_moment(moment)
        if hashed in self._revoked:
            since = self._revoked[hashed]
            if since is None or moment >= since:
                raise Refused(Refusal.CERTIFICATE_REVOKED, hint="Ask the certificate officer for a new certificate.")
        if found.issuer != self.roots.certificate_root_public and not self._issuer_stands(found):
            raise Refused(Refusal.CERTIFICATE_REVOKED, hint="The certificate officer's own certificate was revoked.")
        return found

    def certifies(self, public: bytes) -> bool:
        """Whether this key may certify: the root's, or a certificate officer's (offices must stay apart)."""
        if public == self.roots.certificate_root_public:
            return True
        return any(one.office == CERTIFICATE_OFFICE and one.sign_public == public for one in self._known())

    def certifier(self, person: str) -> bool:
        """Whether this person has ever held a certificate officer's certificate here."""
        return any(one.office == CERTIFICATE_OFFICE and one.person == person for one in self._known())

    def _known(self) -> list[Certified]:
        """What the root issued, verified. A row that only pretends to be is passed over."""
        known = []
        for hashed in self._root_issued:
            if hashed in self._verified:
                known.append(self._verified[hashed])
                continue
            if hashed in self._refused:
                continue
            parsed = _parsed_or_none(self._ders[hashed])
            if parsed is None or not _signed_by(parsed, self.roots.certificate_root_public):
                continue
            try:
                known.append(self.chained(hashed))
            except Forged:
                continue
        return known

    def _issuer_stands(self, found: Certified) -> bool:
        """Whether the issuer was not yet revoked when `found` was issued: an officer who leaves takes no certificates along."""
        for officer in self._known():
            if officer.sign_public != found.issuer:
                continue
            if officer.hash not in self._revoked:
                return True
            since = self._revoked[officer.hash]
            if since is not None and found.not_before + CLOCK_SKEW < since:
                return True
        return False

    def _chain(self, hashed: bytes) -> Certified:
        der = self._ders.get(hashed)
        if der is None:
            raise Forged(Refusal.CERTIFICATE_MISSING)
        parsed = _parsed(der)
        if not _sole_encoding(parsed, der):
            raise Forged(Refusal.CERTIFICATE_INVALID)
        root = self.roots.certificate_root_public
        if hashed in self._root_issued and _signed_by(parsed, root):
            return _certified(parsed, hashed, root)
        for officer in self._known():
            # Bound by key alone: names chain nothing here, and are not parsed before the signature holds.
            if officer.office != CERTIFICATE_OFFICE or officer.hash == hashed or not _signed_by(parsed, officer.sign_public):
                continue
            found = _certified(parsed, hashed, officer.sign_public)
            # The officer certified inside the officer's own term, and makes no further officers.
            if found.office == CERTIFICATE_OFFICE or not officer.not_before <= found.not_before + CLOCK_SKEW <= officer.not_after:
                continue
            return found
        raise Forged(Refusal.CERTIFICATE_NOT_IN_CHAIN)


def _parsed(der: bytes) -> x509.Certificate:
    if len(der) > DER_BYTES_MAX:
        raise Forged(Refusal.CERTIFICATE_INVALID)
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise Forged(Refusal.CERTIFICATE_INVALID) from None


def _sole_encoding(parsed: x509.Certificate, der: bytes) -> bool:
    """Whether `der` is the one DER encoding of what was signed and the signature.

    A parser may take other bytes around them for the same certificate. Its hash would differ, and a
    revocation, which names the hash, would be evaded.
    """
    body = parsed.tbs_certificate_bytes + ED25519_IDENTIFIER + b"\x03\x41\x00" + parsed.signature
    return der == b"\x30\x82" + len(body).to_bytes(2, "big") + body


def _parsed_or_none(der: bytes) -> x509.Certificate | None:
    try:
        return _parsed(der)
    except Forged:
        return None


def _public(parsed: x509.Certificate) -> bytes:
    try:
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Forged(Refusal.CERTIFICATE_INVALID) from None
    if not isinstance(key, Ed25519PublicKey):
        raise Forged(Refusal.ALGORITHM)
    public = key.public_bytes_raw()
    if not algorithms.sound_public(public):
        raise Forged(Refusal.CERTIFICATE_INVALID)
    return public


def _signed_by(parsed: x509.Certificate, public: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(parsed.signature, parsed.tbs_certificate_bytes)
    except (InvalidSignature, ValueError):
        return False
    return True


def _certified(parsed: x509.Certificate, hashed: bytes, issuer: bytes) -> Certified:
    try:
        raw = parsed.extensions.get_extension_for_oid(EXTENSION_OID).value
        constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
        names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Forged(Refusal.CERTIFICATE_INVALID) from None
    if not isinstance(raw, x509.UnrecognizedExtension) or len(names) != 1:
        raise Forged(Refusal.CERTIFICATE_INVALID)
    body = Fields(decoded(_unwrapped(raw.value)))
    office = body.text_or_none("office")
    if constraints.ca != (office == CERTIFICATE_OFFICE) or office not in OFFICES:
        raise Forged(Refusal.CERTIFICATE_INVALID)
    found = Certified(
        person=body.text("person"),
        name=str(names[0].value),
        sign_public=_public(parsed),
        kem_digest=body.octets("kem", 32),
        hash=hashed,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        office=office,
        issuer=issuer,
    )
    body.done()
    return found


def _name(text: str) -> x509.Name:
    if not 0 < len(text) <= NAME_CHARACTERS_MAX:
        raise Invalid("A name in a certificate has 1 to 64 characters.", hint="Shorten the name.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: bytes, issuer_public: bytes, start: datetime, days: int
) -> x509.CertificateBuilder:
    start = start.replace(microsecond=0)
    builder = x509.CertificateBuilder(issuer, subject, Ed25519PublicKey.from_public_bytes(public), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    builder = builder.add_extension(x509.SubjectKeyIdentifier(_key_identifier(public)), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier(_key_identifier(issuer_public), None, None), critical=False)


def _key_identifier(public: bytes) -> bytes:
    return algorithms.sha256(public)[:20]


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _der(builder: x509.CertificateBuilder, seed: bytes) -> bytes:
    return builder.sign(Ed25519PrivateKey.from_private_bytes(seed), None).public_bytes(serialization.Encoding.DER)


def _octets(body: bytes) -> bytes:
    """DER OCTET STRING (X.690 8.7)."""
    return b"\x04" + (bytes((len(body),)) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")) + body


def _unwrapped(value: bytes) -> bytes:
    body = value[2:] if len(value) < 130 else value[4:]
    if value != _octets(body):
        raise Forged(Refusal.CERTIFICATE_INVALID)
    return body


# --- TLS of the gateway: ECDSA P-256, because browsers accept no Ed25519 certificate ---


def verified_client(leaf: str, chain: str, authorities: Sequence[str], crls: Sequence[str], *, now: datetime) -> bytes:
    """The SHA-256 of a card's certificate (PEM), if an authority issued it for clients, it holds now, and a current list (RFC 5280 5) of
    its issuer does not name it. Denied otherwise: certificate-refused, -revoked, or -list where there is no current list."""
    try:
        found = x509.load_pem_x509_certificate(leaf.encode())
        between = x509.load_pem_x509_certificates(chain.encode()) if chain.strip() else []
        roots = [one for text in authorities for one in x509.load_pem_x509_certificates(text.encode())]
        anybody, ca = verification.ExtensionPolicy.permit_all(), verification.ExtensionPolicy.webpki_defaults_ca()
        policy = (
            verification.PolicyBuilder()
            .store(verification.Store(roots))
            .time(now.replace(tzinfo=None))
            .extension_policies(ca_policy=ca, ee_policy=anybody)
        )
        path = policy.build_client_verifier().verify(found, between).chain
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, verification.VerificationError, x509.ExtensionNotFound):
        raise Denied(
            "This card's certificate is not one of ours.", hint="Use another way to sign in.", reason="certificate-refused"
        ) from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise Denied("This card's certificate is not for signing in.", hint="Choose the other one.", reason="certificate-refused")
    lists = [one for text in crls for one in _lists(text)]
    for issued, issuer in zip(path, path[1:], strict=False):
        _not_revoked(issued, issuer, lists, now)
    return algorithms.sha256(found.public_bytes(serialization.Encoding.DER))


def fingerprint(leaf: str) -> bytes:
    """The SHA-256 of a certificate (PEM)."""
    try:
        return algorithms.sha256(x509.load_pem_x509_certificate(leaf.encode()).public_bytes(serialization.Encoding.DER))
    except ValueError:
        raise Invalid("This is not a certificate.", hint="Give it as PEM.") from None


def _lists(text: str) -> list[x509.CertificateRevocationList]:
    end = "-----END X509 CRL-----"
    return [x509.load_pem_x509_crl((part + end).encode()) for part in text.split(end) if part.strip()]


def _not_revoked(
    issued: x509.Certificate, issuer: x509.Certificate, lists: Sequence[x509.CertificateRevocationList], now: datetime
) -> None:
    key = issuer.public_key()
    current = [
        one
        for one in lists
        if one.issuer == issuer.subject and one.next_update_utc is not None and one.last_update_utc <= now < one.next_update_utc
        and one.is_signature_valid(key)  # type: ignore[arg-type]
    ]  # fmt: skip
    if not current:
        raise Denied(
            "Whether this card was revoked cannot be known now.", hint="IT: `cloister certificate list`.", reason="certificate-list"
        )
    if any(one.get_revoked_certificate_by_serial_number(issued.serial_number) is not None for one in current):
        raise Denied("This card was revoked or suspended.", hint="Ask the certificate officer.", reason="certificate-revoked")


def new_tls_ca(name: str) -> tuple[bytes, bytes]:
    """A local certificate authority for TLS: private key and certificate, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _tls_builder(_name(name), _name(name), key.public_key(), key.public_key(), 3650)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.add_extension(_key_usage(ca=True), critical=True).sign(key, hashes.SHA256())
    return _key_pem(key), made.public_bytes(serialization.Encoding.PEM)


def new_tls_key() -> bytes:
    """A private key for TLS, or for an account at an authority: P-256, PKCS 8 in PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def tls_life(chain_pem: bytes) -> tuple[datetime, datetime]:
    """From when until when the first certificate of a chain is valid."""
    leaf = x509.load_pem_x509_certificate(chain_pem)
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


def tls_certificate(ca_key_pem: bytes, ca_cert_pem: bytes, names: Sequence[str], days: int) -> tuple[bytes, bytes]:
    """A server certificate for host names and addresses: private key, and the chain, PEM."""
    if not names:
        raise Invalid("A TLS certificate needs at least one name.")
    ca_key = serialization.load_pem_private_key(ca_key_pem, None)
    ca = x509.load_pem_x509_certificate(ca_cert_pem)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise Invalid("The TLS authority's key is not an elliptic curve key.")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _tls_builder(_name(names[0][:NAME_CHARACTERS_MAX]), ca.subject, key.public_key(), ca_key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    pem = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return _key_pem(key), pem + ca_cert_pem


def _tls_builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, issuer_public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = (datetime.now(UTC) - CLOCK_SKEW).replace(microsecond=0)
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
