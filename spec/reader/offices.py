"""Sections 8 and 9: mandates, grants, zones and epochs."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, hkdf, raw, sha256, unseal
from spec.reader.certificates import Certificate, Known, known
from spec.reader.encoding import body, encode, packed, shown
from spec.reader.refused import Refused, need
from spec.reader.trust import opened, split

RANK = {"hold": 0, "read": 1, "write": 2}
MS = range(0, 253_370_764_800_001)
NUMBER, COUNT = range(1, 1 << 31), range(1, 1 << 63)


def trusted(found: dict[str, Any], trust: str) -> None:
    need(isinstance(found.get("trust"), str), "malformed")
    need(found["trust"] == trust, "trust")


def opened_mandate(blob: bytes, given: dict[str, Any]) -> dict[str, Any]:
    signer = split(blob)[2]
    roots = {"root/certificate": ("certificate", "certificate_root"), "root/access": ("access", "access_root")}
    need(signer in roots, "mandate-missing")
    office, public = roots[signer]
    found = opened("cloister/mandate/v1", blob, bytes.fromhex(given[public]))
    trusted(found, given["trust"])
    need(found.get("office", office) == office, "swapped")
    body(found, trust=str, office=str, person=str, certificate=32, ceiling=str, zones=(list, None), not_after=MS)
    zones = found["zones"]
    need(found["ceiling"] in RANK and (zones is None or all(isinstance(one, str) for one in zones)), "malformed")
    need(zones is None or zones == sorted(set(zones)), "malformed")
    return found


class Offices:
    """Who may sign what: the mandates that stand, over the certificates at hand."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.certificates = given, known(given)
        self.trust: str = given["trust"]
        self.access_root = bytes.fromhex(given["access_root"])
        self.mandates, self.refused = [], list[tuple[bytes, str]]()
        for text in given["mandates"]:
            blob = bytes.fromhex(text)
            try:
                self.mandates.append(opened_mandate(blob, given))
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))

    def signer(self, blob: bytes) -> tuple[bytes, Certificate | None]:
        """The public key of whoever signed, by root or by certificate; not yet whether they may."""
        name = split(blob)[2]
        if name == "root/access":
            return self.access_root, None
        need(len(name) == 64 and set(name) <= set("0123456789abcdef"), "malformed")
        found = self.certificates.chained(bytes.fromhex(name))
        return found.public, found

    def check(self, officer: Certificate | None, zone: str | None, now: int | None, right: str | None = None) -> None:
        """Returns when this officer may act in the zone at that moment (None: at any); the root always may."""
        if officer is None:
            return
        if now is not None:
            self.certificates.valid(officer.hash, now)
        mine = [one for one in self.mandates if one["office"] == "access" and one["certificate"] == officer.hash]
        mine = [one for one in mine if one["person"] == officer.person]
        need(bool(mine), "mandate-missing")
        apart(self.certificates, officer)
        mine = [one for one in mine if now is None or now <= one["not_after"]]
        need(bool(mine), "mandate-expired")
        mine = [one for one in mine if one["zones"] is None or zone in one["zones"]]
        need(any(right is None or RANK[right] <= RANK[one["ceiling"]] for one in mine), "above-ceiling")


def apart(certificates: Known, officer: Certificate) -> None:
    """Who certifies, or has certified, by person, key or certificate, grants nothing."""
    both = [one for one in certificates.officers() if one.person == officer.person or one.public == officer.public]
    need(not both and officer.office != "certificate" and officer.public != certificates.root, "both-offices")


def opened_grant(blob: bytes, offices: Offices, now: int | None) -> dict[str, Any]:
    """The grant, if whoever signed it may give it; it may have ended."""
    public, officer = offices.signer(blob)
    found = opened("cloister/grant/v1", blob, public)
    trusted(found, offices.trust)
    body(
        found, trust=str, zone=str, epoch=NUMBER, floor=NUMBER, person=str, certificate=32, right=str, not_before=MS, live_until=MS,
        reason=str, seq=COUNT, previous=32, sealed=1168,
    )  # fmt: skip
    need(found["right"] in RANK, "malformed")
    need(found["floor"] <= found["epoch"], "epoch-floor")
    offices.check(officer, found["zone"], now, found["right"])
    if officer is not None:
        not_self(found, officer, offices.certificates)
    return found


def not_self(grant: dict[str, Any], officer: Certificate, certificates: Known) -> None:
    own = {one.hash for one in certificates.readable() if one.public == officer.public}
    need(grant["person"] != officer.person and grant["certificate"] not in own | {officer.hash}, "grant-self")


def check_moment(grant: dict[str, Any], now: int) -> None:
    need(now >= grant["not_before"], "grant-not-yet")
    need(now <= grant["live_until"], "grant-expired")


def sealed_key(blob: bytes, found: dict[str, Any], kem: Kem, label: str, info: str) -> bytes:
    """What is sealed in a signed object: the seal is bound to all else that stands in it."""
    rest = {name: value for name, value in found.items() if name != "sealed"}
    return kem.open(found["sealed"], info.encode() + sha256(encode([label, split(blob)[2], rest])))


def mandate(given: dict[str, Any]) -> dict[str, Any]:
    found = opened_mandate(bytes.fromhex(given["blob"]), given)
    return {name: value for name, value in found.items() if name != "trust"}


def grant(given: dict[str, Any]) -> dict[str, Any]:
    blob, seed = raw(given, "blob", "kem_seed")
    found = opened_grant(blob, Offices(given), given["now"])
    check_moment(found, given["now"])
    key = sealed_key(blob, found, Kem(seed), "cloister/grant/v1", "cloister/grant-seal/v1|")
    return {"zone_key": key, "hash": sha256(blob), **{name: value for name, value in found.items() if name not in ("trust", "sealed")}}


def opened_zone(blob: bytes, public: bytes, trust: str) -> dict[str, Any]:
    found = opened("cloister/zone/v1", blob, public)
    trusted(found, trust)
    return body(found, trust=str, zone=str, name=str, hospital=str, ward=(str, None), policy=dict, seq=COUNT, made=MS)


def opened_epoch(blob: bytes, public: bytes, trust: str) -> dict[str, Any]:
    found = opened("cloister/epoch/v1", blob, public)
    trusted(found, trust)
    return body(found, trust=str, zone=str, epoch=NUMBER, commitment=32, index=60, previous=(60, None), ingest=1216, made=MS)


def index_key(found: dict[str, Any], key: bytes) -> bytes:
    """The index key, if this is the epoch's key."""
    need(hkdf(key, "cloister/epoch/v1/commitment") == found["commitment"], "commitment")
    return unseal(hkdf(key, "cloister/epoch/v1/index"), found["index"], bound("index", found))


def previous_key(found: dict[str, Any], key: bytes) -> bytes | None:
    if found["previous"] is None:
        return None
    return unseal(hkdf(key, "cloister/epoch/v1/link"), found["previous"], bound("previous", found))


def bound(what: str, found: dict[str, Any]) -> bytes:
    return packed("cloister/epoch/v1/sealed", what, found["zone"], found["epoch"])


def zone(given: dict[str, Any]) -> dict[str, Any]:
    blob, public = raw(given, "blob", "public")
    found = opened_zone(blob, public, given["trust"])
    return {**{name: value for name, value in found.items() if name != "trust"}, "policy": shown(found["policy"])}


def epoch(given: dict[str, Any]) -> dict[str, Any]:
    blob, public, key = raw(given, "blob", "public", "zone_key")
    found = opened_epoch(blob, public, given["trust"])
    opened_index = index_key(found, key)
    says = {name: found[name] for name in ("zone", "epoch", "commitment", "ingest", "made")}
    need(Kem(hkdf(key, "cloister/epoch/v1/ingest")).public == found["ingest"], "swapped")
    return {**says, "index_key": opened_index, "previous": previous_key(found, key)}


FORMATS = {"mandate": mandate, "grant": grant, "zone": zone, "epoch": epoch}
