"""Certificates of machines: the estate's own authority, and what it signs for servers and controllers. X.509 (RFC 5280).

A chain of its own: no person's certificate leads here, and this authority certifies nobody's keys of the record. A machine's
key is made where it is used; what travels is a request (PKCS #10, RFC 2986). Certificates live for days; who was taken
out is in a revocation list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloister.base.errors import Corrupt, Invalid
from cloister.zones import algorithms
from cloister.zones import certificates as tls

SKEW: Final = timedelta(minutes=5)  # a certificate begins a little in the past, for a clock that is a little behind
REQUEST_BYTES_MAX: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCertificate:
    """What a machine's certificate says; `names` are its DNS names (SAN)."""

    serial: str  # hexadecimal
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    key: bytes  # SHA-256 of the public key


def new_authority(name: str) -> tuple[bytes, bytes]:
    """The estate's authority for machines: private key and certificate, PEM."""
    return tls.new_tls_ca(name)


def fingerprint(certificate_pem: bytes) -> bytes:
    """SHA-256 of a certificate (DER): what a join token pins."""
    try:
        return algorithms.sha256(x509.load_pem_x509_certificate(certificate_pem).public_bytes(serialization.Encoding.DER))
    except ValueError:
        raise Corrupt("This is no certificate.", reason="certificate") from None


def new_key() -> bytes:
    """A machine's private key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def request(key_pem: bytes) -> bytes:
    """A request for a certificate (PEM), signed with the key itself, so that nobody asks for a key that he has not."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "machine")]))
    return builder.sign(_private(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requested_key(request_pem: bytes) -> bytes:
    """SHA-256 of the key that a request is for; Invalid unless the request is signed by that key and of our kind."""
    return _key_hash(_request(request_pem).public_key())


def signed(authority_key: bytes, authority: bytes, request_pem: bytes, names: Sequence[str], *, now: datetime, life: timedelta) -> bytes:
    """The machine's certificate and the authority's, PEM. Nothing of the request but its key is taken over."""
    asked, issuer = _request(request_pem), x509.load_pem_x509_certificate(authority)
    public, start = asked.public_key(), (now - SKEW).replace(microsecond=0)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    issuing = _private(authority_key)
    builder = x509.CertificateBuilder(issuer.subject, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after((now + life).replace(microsecond=0))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(usages, critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(issuing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + authority


def facts(certificate: bytes) -> MachineCertificate:
    """What a certificate (DER, or the first of a PEM chain) says. Its signature is the TLS library's to check."""
    try:
        pem = certificate.startswith(b"-----")
        found = x509.load_pem_x509_certificate(certificate) if pem else x509.load_der_x509_certificate(certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        public = found.public_key()
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise Corrupt("This is no machine's certificate.", reason="certificate") from None
    return MachineCertificate(
        serial=f"{found.serial_number:x}",
        names=tuple(names),
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        key=_key_hash(public),
    )


def revocation_list(authority_key: bytes, authority: bytes, serials: Iterable[str], *, now: datetime, life: timedelta) -> bytes:
    """The list of certificates that are refused (RFC 5280 section 5), PEM, for Envoy."""
    builder = x509.CertificateRevocationListBuilder(x509.load_pem_x509_certificate(authority).subject, now - SKEW, now + life)
    for serial in sorted(set(serials)):
        revoked = x509.RevokedCertificateBuilder(int(serial, 16), (now - SKEW).replace(microsecond=0))
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(_private(authority_key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _request(request_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        if len(request_pem) > REQUEST_BYTES_MAX:
            raise ValueError
        asked = x509.load_pem_x509_csr(request_pem)
        public = asked.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1) or not asked.is_signature_valid:
            raise ValueError
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        raise Invalid("This is no request for a machine's certificate.", reason="request") from None
    return asked


def _private(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid("A machine's key is an elliptic curve key.")
    return key


def _key_hash(public: object) -> bytes:
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Corrupt("A machine's key is an elliptic curve key.", reason="certificate")
    raw = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return algorithms.sha256(raw)
