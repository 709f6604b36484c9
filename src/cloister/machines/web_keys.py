"""Keys of browsers and of the web's protocols, which protect nothing that is stored: ES256 (RFC 7518), certificates of people for the VPN.

Beside algorithms.py, because an auditor of the record's encryption need not read this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloister.base.errors import Corrupt, Invalid

POINT_BYTES = 65
SIGNATURE_BYTES = 64


class Es256Key:
    """A new P-256 key, in memory."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, body: bytes) -> bytes:
        """R and S side by side (RFC 7518 3.4)."""
        r, s = decode_dss_signature(self._key.sign(body, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@lru_cache(maxsize=256)
def _point(public: bytes) -> ec.EllipticCurvePublicKey:
    if len(public) != POINT_BYTES:
        raise Corrupt("This is no P-256 key or signature.", reason="malformed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError:
        raise Corrupt("This is no P-256 key or signature.", reason="malformed") from None


def es256_verify(public: bytes, body: bytes, signature: bytes) -> None:
    """Returns when this P-256 point's key signed it; Corrupt otherwise."""
    if len(signature) != SIGNATURE_BYTES:
        raise Corrupt("This is no P-256 key or signature.", reason="malformed")
    sides = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        _point(public).verify(encode_dss_signature(*sides), body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Corrupt("This key did not sign it.", reason="signature") from None


# --- certificates of people, for a connection's hours ------------------------------------------------------

SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PersonCertificate:
    pem: str
    number: str


def new_tls_request() -> tuple[str, bytes]:
    """A client's side: a private P-256 key (PEM), and a request for a certificate of it (PKCS#10, DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cloister")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), request.public_bytes(Encoding.DER)


def _requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request that this very key signed (RFC 2986 3). The name and extensions that it asks for are not looked at."""
    try:
        read = x509.load_der_x509_csr(request)
        key = read.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) and read.is_signature_valid:
            return key
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise Invalid("This is no request by a P-256 key.", hint="Send PKCS#10 (RFC 2986) in DER, signed with ECDSA.", reason="field")


def person_certificate(
    authority_key: bytes, authority: str, request: bytes, *, person: str, group: str, until: datetime
) -> PersonCertificate:
    """A TLS client certificate with the person as UID and the group as OU; raises Invalid unless a P-256 key asks for itself (PKCS#10)."""
    key, issuer = load_pem_private_key(authority_key, None), x509.load_pem_x509_certificate(authority.encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # our own
    subject_key = _requested_key(request)
    names = [(NameOID.USER_ID, person), (NameOID.ORGANIZATIONAL_UNIT_NAME, group), (NameOID.COMMON_NAME, person)]
    name, number = x509.Name([x509.NameAttribute(kind, text) for kind, text in names]), x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer.subject, name, subject_key, number)
    builder = builder.not_valid_before((datetime.now(UTC) - SKEW).replace(microsecond=0)).not_valid_after(until.replace(microsecond=0))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    made = builder.sign(key, hashes.SHA256())
    return PersonCertificate(made.public_bytes(Encoding.PEM).decode(), f"{number:x}")
