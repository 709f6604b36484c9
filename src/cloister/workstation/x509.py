"""What an agent must know of a card's certificate: until when, whose, which public key. RFC 5280 4.1, DER (X.690).

Nobody is trusted because of what is read here: a card proves itself by its key. A certificate that cannot be read is passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

OID_RSA: Final = bytes.fromhex("2a864886f70d010101")
OID_EC: Final = bytes.fromhex("2a8648ce3d0201")
OID_COMMON_NAME: Final = bytes.fromhex("550403")
CLIENT_AUTHENTICATION: Final = bytes.fromhex("06082b06010505070302")
CURVES: Final = {bytes.fromhex("2a8648ce3d030107"): "P-256", bytes.fromhex("2b81040022"): "P-384"}
SEQUENCE, CONTEXT_0, UTC_TIME = 0x30, 0xA0, 0x17


@dataclass(frozen=True, slots=True)
class Certificate:
    """One on a card; `key` is the SHA-256 of its SubjectPublicKeyInfo, and names the card."""

    key: str
    name: str
    not_after: int  # milliseconds since 1970 UTC
    curve: str = ""
    point: bytes = b""
    modulus: int = 0
    exponent: int = 0
    for_people: bool = False  # made for authenticating a person (extended key usage clientAuth)
    id: bytes = field(default=b"", repr=False)  # CKA_ID, which the private key has too


class NotReadable(ValueError):
    """Not the DER of a certificate with an RSA, P-256 or P-384 key."""


def read_certificate(der: bytes, key_id: bytes = b"") -> Certificate:
    try:
        (_, whole, _), *_ = _elements(der)
        (_, body, _), *_ = _elements(whole)
        parts = [part for part in _elements(body) if part[0] != CONTEXT_0]  # serial, algorithm, issuer, validity, subject, key
        validity, subject, public = list(_elements(parts[3][1])), parts[4][1], parts[5]
        (_, algorithm, _), (_, bits, _) = _elements(public[1])
        oids = [value for _, value, _ in _elements(algorithm)]
        key = hashlib.sha256(public[2]).hexdigest()
        ends = _milliseconds(validity[1][0], validity[1][1].decode("ascii"))
        common = {"key": key, "name": _common_name(subject), "not_after": ends, "for_people": CLIENT_AUTHENTICATION in der, "id": key_id}
        if oids[0] == OID_EC:
            return Certificate(**common, curve=CURVES[oids[1]], point=bits[1:])  # type: ignore[arg-type]
        if oids[0] != OID_RSA:
            raise NotReadable
        (_, numbers, _), *_ = _elements(bits[1:])
        modulus, exponent = (int.from_bytes(value, "big") for _, value, _ in _elements(numbers))
        return Certificate(**common, modulus=modulus, exponent=exponent)  # type: ignore[arg-type]
    except (IndexError, KeyError, UnicodeDecodeError, ValueError):
        raise NotReadable from None


def _elements(der: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(tag, contents, all of it) of each element; lengths as DER has them."""
    at = 0
    while at < len(der):
        size, start = der[at + 1], at + 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(der[at + 2 : start], "big")
        if start + size > len(der):
            raise NotReadable
        yield der[at], der[start : start + size], der[at : start + size]
        at = start + size


def _milliseconds(tag: int, text: str) -> int:
    """UTCTime until 2049, then GeneralizedTime (RFC 5280 4.1.2.5)."""
    if tag == UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1000


def _common_name(subject: bytes) -> str:
    for _, relative, _ in _elements(subject):
        for _, pair, _ in _elements(relative):
            (_, oid, _), (_, value, _) = _elements(pair)
            if oid == OID_COMMON_NAME:
                return value.decode("utf-8", "replace")[:100]
    return ""
