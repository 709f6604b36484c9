"""Section 7: certificates. X.509 itself is parsed by `cryptography`; the chain, the extension and the encoding are checked here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import NameOID

from spec.reader.algorithms import check_signature, sha256, small_order
from spec.reader.encoding import body, decode
from spec.reader.refused import Refused, need

EXTENSION = x509.ObjectIdentifier("2.25.143635402827972650970329591291693595745")
SKEW = timedelta(minutes=5)
INVALID, OUTSIDE = "certificate-invalid", "certificate-not-in-chain"


class Certificate:
    """One that says what it says; whether it may is the chain's question."""

    def __init__(self, der: bytes) -> None:
        self.der, self.hash = der, sha256(der)
        try:
            self.x509 = x509.load_der_x509_certificate(der)
            public = self.x509.public_key()
            if not isinstance(public, Ed25519PublicKey):
                raise Refused("algorithm")
            self.public = public.public_bytes_raw()
            need(not small_order(self.public), INVALID)
            self.tbs, self.signature = self.x509.tbs_certificate_bytes, self.x509.signature
            self.begins, self.ends = self.x509.not_valid_before_utc, self.x509.not_valid_after_utc
        except (ValueError, TypeError, x509.InvalidVersion):
            raise Refused(INVALID) from None
        whole = self.tbs + bytes.fromhex("300506032b6570") + b"\x03\x41\x00" + self.signature
        need(der == b"\x30" + length(len(whole)) + whole, INVALID)

    def read(self) -> None:
        """The subject and the extension; asked for when the signature stands."""
        try:
            names = self.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            constraints = self.x509.extensions.get_extension_for_class(x509.BasicConstraints).value
            found = self.x509.extensions.get_extension_for_oid(EXTENSION).value
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
            raise Refused(INVALID) from None
        need(len(names) == 1, INVALID)
        value = found.value
        size = value[1] if len(value) > 2 and value[1] < 128 else value[2] if len(value) > 3 and value[1] == 0x81 else -1
        inner = value[2:] if len(value) > 1 and value[1] < 128 else value[3:]
        need(value[:1] == b"\x04" and size == len(inner), INVALID)
        says = body(decode(inner), person=str, kem=32, office=(str, None))
        self.person, self.kem, self.office = says["person"], says["kem"], says["office"]
        self.name = str(names[0].value)
        need(self.office in (None, "access", "certificate") and constraints.ca == (self.office == "certificate"), INVALID)

    def signed_by(self, public: bytes) -> bool:
        try:
            check_signature(public, self.tbs, self.signature)
        except Refused:
            return False
        return True


def length(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(raw)]) + raw


class Known:
    """The certificates at hand, and which of them were revoked since when (None: for ever)."""

    def __init__(self, root: bytes, ders: list[bytes], revoked: dict[bytes, int | None]) -> None:
        self.root, self.revoked = root, revoked
        self.ders = {sha256(der): der for der in ders}

    def chained(self, hashed: bytes) -> Certificate:
        """The certificate, if it leads to the root."""
        need(hashed in self.ders, "certificate-missing")
        found = Certificate(self.ders[hashed])
        if found.signed_by(self.root):
            found.read()
            found.officers = []
            return found
        officers = [one for one in self.officers() if one.hash != hashed and found.signed_by(one.public)]
        need(bool(officers), OUTSIDE)
        found.read()
        need(found.office != "certificate", OUTSIDE)
        found.officers = [one for one in officers if one.begins <= found.begins + SKEW <= one.ends]
        need(bool(found.officers), OUTSIDE)
        return found

    def officers(self) -> list[Certificate]:
        """Whom the root made certificate officers."""
        return [one for one in self.readable() if one.office == "certificate" and one.signed_by(self.root)]

    def readable(self) -> list[Certificate]:
        found = []
        for der in self.ders.values():
            try:
                one = Certificate(der)
                one.read()
            except Refused:
                continue
            found.append(one)
        return found

    def valid(self, hashed: bytes, now: int) -> Certificate:
        """The same, and valid at that moment."""
        found = self.chained(hashed)
        at = moment(now)
        need(at >= found.begins, "certificate-not-yet")
        need(at <= found.ends, "certificate-expired")
        need(not self.ended(hashed, at), "certificate-revoked")
        need(not found.officers or any(not self.ended(one.hash, found.begins) for one in found.officers), "certificate-revoked")
        return found

    def ended(self, hashed: bytes, at: datetime) -> bool:
        if hashed not in self.revoked:
            return False
        since = self.revoked[hashed]
        return since is None or at >= moment(since)


def moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def known(given: dict[str, Any]) -> Known:
    need(given["certificate_root"] != given["access_root"], "both-offices")
    revoked = {bytes.fromhex(hashed): since for hashed, since in given.get("revoked", {}).items()}
    return Known(bytes.fromhex(given["certificate_root"]), [bytes.fromhex(der) for der in given["certificates"]], revoked)


def certificate(given: dict[str, Any]) -> dict[str, Any]:
    found = known(given).valid(bytes.fromhex(given["hash"]), given["now"])
    return {"person": found.person, "name": found.name, "office": found.office, "public": found.public, "kem": found.kem}


FORMATS = {"certificate": certificate}
