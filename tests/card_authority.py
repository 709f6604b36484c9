"""An authority of health cards, with the cards that it gives out and the lists of those that it has revoked."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH


class Authority:
    def __init__(self, name: str, *, now: datetime) -> None:
        self.now = now
        self.keys: dict[int, ec.EllipticCurvePrivateKey] = {}
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = (
            self._builder(self.name, self.key.public_key(), 3650)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(usage, True)
            .add_extension(key_id, False)
            .sign(self.key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=1))
            .not_valid_after(self.now + timedelta(days=days))
        )

    def card(self, name: str, *, days: int = 30, usage: x509.ObjectIdentifier = CLIENT) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._builder(subject, key.public_key(), days)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
            .sign(self.key, hashes.SHA256())
        )
        self.keys[made.serial_number] = key
        return made

    def files(self, card: x509.Certificate, folder: Path) -> tuple[Path, Path]:
        """The card's certificate and key, as a client without a reader has them."""
        certificate, key = folder / f"{card.serial_number}.pem", folder / f"{card.serial_number}.key"
        certificate.write_text(pem(card))
        key.write_bytes(self.keys[card.serial_number].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key

    def list(self, *revoked: x509.Certificate, held: x509.Certificate | None = None, until: timedelta = timedelta(days=1)) -> str:
        """`held`: suspended, which a later list may take back (RFC 5280 5.3.1, certificateHold)."""
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(self.now - timedelta(hours=1))
            .next_update(self.now + until)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(self.now - timedelta(hours=2)).build()
            made = made.add_revoked_certificate(entry)
        if held is not None:
            entry = x509.RevokedCertificateBuilder().serial_number(held.serial_number).revocation_date(self.now - timedelta(hours=2))
            made = made.add_revoked_certificate(entry.add_extension(x509.CRLReason(x509.ReasonFlags.certificate_hold), False).build())
        return made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def pem(one: x509.Certificate) -> str:
    return one.public_bytes(Encoding.PEM).decode()
