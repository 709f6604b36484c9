"""Sections 21 to 23: break-glass parts and shares, what machines seal into a zone, and shared dossiers."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, hkdf, raw, sha256
from spec.reader.certificates import Certificate, known
from spec.reader.encoding import body, encode
from spec.reader.offices import COUNT, MS, NUMBER, Offices, opened_epoch, trusted
from spec.reader.refused import need
from spec.reader.trust import opened, split

SEALED_KEY = 1_168


def bound(label: str, signer: str, found: dict[str, Any]) -> bytes:
    """The info of what is sealed inside a signed object of this label: all else that stands in it."""
    return f"{label}|".encode() + sha256(encode([label, signer, {name: one for name, one in found.items() if name != "sealed"}]))


def unsealed(blob: bytes, found: dict[str, Any], kem: Kem) -> bytes:
    label, _, signer, *_ = split(blob)
    return kem.open(found["sealed"], bound(label, signer, found))


def glass_part(given: dict[str, Any]) -> dict[str, Any]:
    blob, seed = raw(given, "blob", "kem_seed")
    offices = Offices(given)
    public, officer = offices.signer(blob)
    found = opened("cloister/glass/v1", blob, public)
    trusted(found, offices.trust)
    body(
        found, trust=str, zone=str, epoch=NUMBER, set=16, approvers=range(3), made=MS, place=range(256), person=str,
        certificate=32, sealed=SEALED_KEY,
    )  # fmt: skip
    offices.check(officer, found["zone"], found["made"])
    return {"part": unsealed(blob, found, Kem(seed)), **{name: one for name, one in found.items() if name not in ("trust", "sealed")}}


def times(a: int, b: int) -> int:
    """In GF(2^8) modulo x^8+x^4+x^3+x+1."""
    out = 0
    while b:
        out ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return out


def over(a: int, b: int) -> int:
    return next(one for one in range(256) if times(one, b) == a)


def joined(shares: dict[str, str]) -> bytes:
    """The line through two points, at 0."""
    need(len(shares) == 2, "malformed")
    (x, one), (y, other) = ((int(place), bytes.fromhex(share)) for place, share in shares.items())
    need(0 < x < 256 and 0 < y < 256 and x != y and len(one) == len(other), "malformed")
    first, second = over(y, x ^ y), over(x, x ^ y)
    return bytes(times(a, first) ^ times(b, second) for a, b in zip(one, other, strict=True))


def glass_shares(given: dict[str, Any]) -> dict[str, Any]:
    return {"secret": joined(given["shares"])}


def glass_key(given: dict[str, Any]) -> dict[str, Any]:
    asker, blob = raw(given, "asker", "epoch")
    parts, approvers = given["parts"], given["approvers"]
    need(len(parts) >= approvers, "approvals-missing")
    other = bytes(32) if approvers == 0 else bytes.fromhex(parts["1"]) if approvers == 1 else joined(parts)
    key = bytes(a ^ b for a, b in zip(asker, other, strict=True))
    record = opened_epoch(blob, bytes.fromhex(given["access_root"]), given["trust"])
    need(hkdf(key, "cloister/epoch/v1/commitment") == record["commitment"], "commitment")
    return {"zone_key": key}


def signed_by_person(label: str, blob: bytes, given: dict[str, Any], now: int | None = None) -> tuple[dict[str, Any], Certificate]:
    """What a certified person or machine signed; the certificate must be valid now, or at the body's `at`."""
    certificates, name = known(given), split(blob)[2]
    need(len(name) == 64 and set(name) <= set("0123456789abcdef"), "malformed")
    found = opened(label, blob, certificates.chained(bytes.fromhex(name)).public)
    trusted(found, given["trust"])
    need(isinstance(found.get("at"), int) and found["at"] in MS, "malformed")
    return found, certificates.valid(bytes.fromhex(name), found["at"] if now is None else now)


def ingest_kem(given: dict[str, Any]) -> Kem:
    return Kem(hkdf(*raw(given, "zone_key"), "cloister/epoch/v1/ingest"))


def sealed_message(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    found, machine = signed_by_person("cloister/ingest/v1", blob, given, given["now"])
    body(found, trust=str, zone=str, epoch=NUMBER, seq=COUNT, at=MS, sealed=bytes)
    need(given["machines"].get(machine.person) == machine.hash.hex(), "device-not-named")
    says = {name: found[name] for name in ("zone", "epoch", "seq", "at")}
    return {**says, "machine": machine.person, "content": unsealed(blob, found, ingest_kem(given))}


def share(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    found, giver = signed_by_person("cloister/share/v1", blob, given, given["now"])
    body(found, trust=str, dossier=16, zone=str, epoch=NUMBER, reason=str, resource=str, at=MS, sealed=bytes)
    need(found["reason"] in ("admission", "transfer", "referral", "consent"), "malformed")
    plain = unsealed(blob, found, ingest_kem(given))
    need(len(plain) > 0 and len(plain) % 34 == 0, "malformed")
    keys = {str(int.from_bytes(plain[at : at + 2], "big")): plain[at + 2 : at + 34] for at in range(0, len(plain), 34)}
    says = {name: one for name, one in found.items() if name not in ("trust", "sealed")}
    return {**says, "giver": giver.person, "keys": keys}


FORMATS = {
    "glass-part": glass_part,
    "glass-shares": glass_shares,
    "glass-key": glass_key,
    "sealed-message": sealed_message,
    "share": share,
}
