"""Section 13: opening a keyring, and the wraps and shard parts that it opens."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, hkdf, raw, sha256, sign_public, unseal
from spec.reader.certificates import Known
from spec.reader.encoding import packed
from spec.reader.offices import (
    Offices,
    check_moment,
    index_key,
    opened_epoch,
    opened_grant,
    opened_zone,
    previous_key,
    sealed_key,
)
from spec.reader.refused import Refused, need


def raws(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


class Keyring:
    """What one person's keys open, from the rows as they were fetched."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.now, self.trust = given, given["now"], given["trust"]
        self.person = given["person"]
        seed, sign_seed = raw(given, "kem_seed", "sign_seed")
        self.kem, self.public = Kem(seed), sign_public(sign_seed)
        self.offices = Offices(given)
        own = self.own(self.offices.certificates)
        self.refused = list(self.offices.refused)
        self.zones: dict[str, dict[str, Any]] = {}
        self.older: dict[str, list[tuple[bytes, dict[str, Any]]]] = {}
        for blob, grant in self.newest(raws(given["grants"])):
            try:
                self.offices.check(self.offices.signer(blob)[1], grant["zone"], self.now, grant["right"])
                need(grant["certificate"] in own, "grant-certificate-mismatch")
                need(sha256(blob) not in raws(given["revoked_grants"]), "grant-revoked")
                check_moment(grant, self.now)
                self.zones[grant["zone"]] = self.opened(blob, grant)
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))

    def own(self, certificates: Known) -> set[bytes]:
        """Hashes of the person's own certificates: for exactly these keys, and valid now."""
        own, last = set(), "certificate-missing"
        for one in certificates.readable():
            if one.public != self.public:
                continue
            try:
                certificates.valid(one.hash, self.now)
                need(one.person == self.person and one.kem == sha256(self.kem.public), "certificate-other-keys")
                own.add(one.hash)
            except Refused as refused:
                last = refused.name
        need(bool(own), last)
        return own

    def newest(self, blobs: list[bytes]) -> list[tuple[bytes, dict[str, Any]]]:
        """The newest grant in each zone; the older ones are named, and never fallen back to."""
        found: dict[str, dict[bytes, dict[str, Any]]] = {}
        for blob in blobs:
            try:
                grant = opened_grant(blob, self.offices, None)
                need(grant["person"] == self.person, "grant-other-person")
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))
                continue
            found.setdefault(grant["zone"], {})[blob] = grant
        kept = []
        for grants in found.values():
            last = max(grant["seq"] for grant in grants.values())
            newest = [(blob, grant) for blob, grant in grants.items() if grant["seq"] == last]
            if len(newest) == 1:
                kept += newest
            else:
                self.refused += [(sha256(blob), "chain-broken") for blob, _ in newest]
            for blob, grant in grants.items():
                if grant["seq"] < last:
                    self.older.setdefault(grant["zone"], []).append((blob, grant))
                    torn = grant["seq"] + 1 == last and newest[0][1]["previous"] != sha256(blob)
                    self.refused.append((sha256(blob), "chain-broken" if torn else "grant-replayed"))
        return kept

    def opened(self, blob: bytes, grant: dict[str, Any]) -> dict[str, Any]:
        zone = self.zone(grant["zone"])
        record = self.epoch(grant["zone"], grant["epoch"])
        key = sealed_key(blob, grant, self.kem, "cloister/grant/v1", "cloister/grant-seal/v1|")
        return {"zone": zone, "grant": grant, "index_key": index_key(record, key), "key": key}

    def zone(self, name: str) -> dict[str, Any]:
        """Its record of the highest number that somebody signed who may."""
        best, reason = None, "zone-missing"
        for blob in raws(self.given["zones"]):
            try:
                public, officer = self.offices.signer(blob)
                found = opened_zone(blob, public, self.trust)
                self.offices.check(officer, found["zone"], found["made"])
            except Refused as refused:
                reason = refused.name
                continue
            if found["zone"] == name and (best is None or found["seq"] > best["seq"]):
                best = found
        if best is None:
            raise Refused(reason)
        return best

    def epoch(self, name: str, number: int) -> dict[str, Any]:
        reason = "epoch-missing"
        for blob in raws(self.given["epochs"]):
            try:
                public, officer = self.offices.signer(blob)
                found = opened_epoch(blob, public, self.trust)
                if (found["zone"], found["epoch"]) == (name, number):
                    self.offices.check(officer, name, found["made"])
                    return found
            except Refused as refused:
                reason = refused.name
        raise Refused(reason)

    def key(self, zone: str, epoch: int) -> bytes:
        """The zone key of an epoch, walking back from the grant's."""
        need(zone in self.zones, "zone-not-held")
        held = self.zones[zone]
        grant, key = held["grant"], held["key"]
        need(grant["right"] != "hold", "right-missing")
        need(epoch >= grant["floor"], "epoch-floor")
        need(epoch <= grant["epoch"], "epoch-missing")
        for number in range(grant["epoch"], epoch, -1):
            older = previous_key(self.epoch(zone, number), key)
            if older is None:  # the past is closed: a grant of that time opens it, for who was there before
                then = [blob_grant for blob_grant in self.older.get(zone, []) if blob_grant[1]["epoch"] == number - 1]
                need(bool(then), "epoch-floor")
                older = sealed_key(*then[0], self.kem, "cloister/grant/v1", "cloister/grant-seal/v1|")
            record = self.epoch(zone, number - 1)
            need(hkdf(older, "cloister/epoch/v1/commitment") == record["commitment"], "commitment")
            key = older
        return key


def keyring(given: dict[str, Any]) -> dict[str, Any]:
    found = Keyring(given)
    zones = []
    for one in found.zones.values():
        zone, grant = one["zone"], one["grant"]
        says = {name: zone[name] for name in ("zone", "name", "hospital", "ward")}
        zones.append({**says, **{name: grant[name] for name in ("epoch", "right", "live_until")}, "index_key": one["index_key"]})
    return {"zones": zones, "refused": sorted([hashed.hex(), name] for hashed, name in found.refused)}


def wrap(given: dict[str, Any]) -> dict[str, Any]:
    key = Keyring(given).key(given["zone"], given["epoch"])
    bound = packed("cloister/wrap/v1", given["trust"], given["zone"], given["epoch"], given["dossier"], given["key_no"])
    return {"key": unseal(hkdf(key, "cloister/epoch/v1/wrap"), *raw(given, "sealed"), bound)}


def shard(given: dict[str, Any]) -> dict[str, Any]:
    found, (sealed,) = Keyring(given), raw(given, "sealed")
    need(given["zone"] in found.zones, "zone-not-held")
    need(found.zones[given["zone"]]["grant"]["right"] != "hold", "right-missing")
    need(len(sealed) >= 4, "tag")
    epoch = int.from_bytes(sealed[:4], "big")
    key = found.key(given["zone"], epoch)
    bound = packed("cloister/shard/v1", given["trust"], given["zone"], epoch, "", given["part_no"])
    return {"plain": unseal(hkdf(key, "cloister/epoch/v1/shard"), sealed[4:], bound)}


FORMATS = {"keyring": keyring, "wrap": wrap, "shard": shard}
