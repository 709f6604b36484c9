"""Sections 21, 22 and 23: break-glass seals, what is sealed into a zone, shares."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, hkdf, raw
from spec.reader.certificates import known
from spec.reader.encoding import body
from spec.reader.offices import COUNT, MS, NUMBER, Offices, opened_epoch, sealed_key, trusted
from spec.reader.refused import need
from spec.reader.trust import opened, split

REASONS = {"admission", "transfer", "referral", "consent"}


def product(a: int, b: int) -> int:
    """In GF(2^8) modulo x^8+x^4+x^3+x+1: as a product of polynomials, then the remainder."""
    whole = 0
    for bit in range(8):
        if b >> bit & 1:
            whole ^= a << bit
    for degree in range(15, 7, -1):
        if whole >> degree & 1:
            whole ^= 0x11B << (degree - 8)
    return whole


def over(a: int, b: int) -> int:
    return next(one for one in range(256) if product(one, b) == a)


def joined(parts: dict[str, str]) -> bytes:
    found = {int(place): bytes.fromhex(share) for place, share in parts.items()}
    need(len(found) == 2 and all(1 <= place <= 255 for place in found), "malformed")
    (x, ys), (u, vs) = found.items()
    need(len(ys) == len(vs), "malformed")
    # The line through (x, y) and (u, v): its slope, then its value at 0.
    return bytes(y ^ product(over(y ^ v, x ^ u), x) for y, v in zip(ys, vs, strict=True))


def shares(given: dict[str, Any]) -> dict[str, Any]:
    return {"secret": joined(given["shares"])}


def part(given: dict[str, Any]) -> dict[str, Any]:
    blob, seed = raw(given, "blob", "kem_seed")
    offices = Offices(given)
    public, officer = offices.signer(blob)
    found = opened("cloister/glass/v1", blob, public)
    trusted(found, offices.trust)
    body(
        found, trust=str, zone=str, epoch=NUMBER, set=16, approvers=range(3), made=MS, place=range(256), person=str, certificate=32,
        sealed=1168,
    )  # fmt: skip
    offices.check(officer, found["zone"], found["made"])
    key = sealed_key(blob, found, Kem(seed), "cloister/glass/v1", "cloister/glass/v1|")
    return {**{name: value for name, value in found.items() if name not in ("trust", "sealed")}, "part": key}


def zone_key(given: dict[str, Any]) -> dict[str, Any]:
    epoch, asker, root = raw(given, "epoch", "asker", "access_root")
    found = opened_epoch(epoch, root, given["trust"])
    count, parts = given["approvers"], given["parts"]
    need(len(parts) >= count, "approvals-missing")
    other = bytes(32) if not count else bytes.fromhex(parts["1"]) if count == 1 else joined(parts)
    key = bytes(a ^ b for a, b in zip(asker, other, strict=True))
    need(hkdf(key, "cloister/epoch/v1/commitment") == found["commitment"], "commitment")
    return {"zone_key": key}


def signed(label: str, given: dict[str, Any], **fields: Any) -> tuple[Any, dict[str, Any]]:
    """Who signed, by a certificate that holds now, and what."""
    (blob,) = raw(given, "blob")
    name = split(blob)[2]
    need(len(name) == 64 and set(name) <= set("0123456789abcdef"), "malformed")
    certificates = known(given)
    certificates.valid(bytes.fromhex(name), given["now"])
    author = certificates.chained(bytes.fromhex(name))
    found = opened(label, blob, author.public)
    trusted(found, given["trust"])
    return author, body(found, trust=str, zone=str, epoch=NUMBER, at=MS, sealed=bytes, **fields)


def unsealed(label: str, given: dict[str, Any], found: dict[str, Any]) -> bytes:
    blob, key = raw(given, "blob", "zone_key")
    return sealed_key(blob, found, Kem(hkdf(key, "cloister/epoch/v1/ingest")), label, f"{label}|")


def message(given: dict[str, Any]) -> dict[str, Any]:
    label = "cloister/ingest/v1"
    machine, found = signed(label, given, seq=COUNT)
    need(given["machines"].get(machine.person) == machine.hash.hex(), "device-not-named")
    says = {name: found[name] for name in ("zone", "epoch", "seq", "at")}
    return {**says, "machine": machine.person, "content": unsealed(label, given, found)}


def share(given: dict[str, Any]) -> dict[str, Any]:
    label = "cloister/share/v1"
    giver, found = signed(label, given, dossier=16, reason=str, resource=str)
    need(found["reason"] in REASONS, "malformed")
    plain = unsealed(label, given, found)
    need(bool(plain) and len(plain) % 34 == 0, "malformed")
    keys = {str(int.from_bytes(plain[at : at + 2], "big")): plain[at + 2 : at + 34] for at in range(0, len(plain), 34)}
    says = {name: found[name] for name in ("dossier", "zone", "epoch", "reason", "resource", "at")}
    return {**says, "giver": giver.person, "keys": keys}


FORMATS = {
    "glass-shares": shares,
    "glass-part": part,
    "glass-key": zone_key,
    "sealed-message": message,
    "share": share,
}
