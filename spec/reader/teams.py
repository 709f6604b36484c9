"""Section 25: teams, memberships, and keyrings that open through them."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, raw, sha256
from spec.reader.encoding import body
from spec.reader.keyring import Keyring, raws
from spec.reader.offices import MS, NUMBER, Offices, check_moment, index_key, opened_grant, sealed_key, trusted
from spec.reader.refused import Refused, need
from spec.reader.trust import opened


def opened_team(blob: bytes, offices: Offices) -> dict[str, Any]:
    public, _ = offices.signer(blob)
    found = opened("cloister/team/v1", blob, public)
    trusted(found, offices.trust)
    return body(found, trust=str, team=str, generation=NUMBER, name=str, hospital=str, kem=1216, made=MS)


def opened_membership(blob: bytes, offices: Offices) -> dict[str, Any]:
    public, _ = offices.signer(blob)
    found = opened("cloister/membership/v1", blob, public)
    trusted(found, offices.trust)
    return body(
        found, trust=str, team=str, generation=NUMBER, person=str, certificate=32, keeps=range(2), not_before=MS, live_until=MS,
        reason=str, sealed=1168,
    )  # fmt: skip


def seed_of(blob: bytes, found: dict[str, Any], kem: Kem) -> bytes:
    return sealed_key(blob, found, kem, "cloister/membership/v1", "cloister/membership-seal/v1|")


class TeamKeyring(Keyring):
    """A keyring whose grants may be to teams in which the person is now."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__({**given, "grants": []})
        now, own = self.now, self.own(self.offices.certificates)
        self.ways: dict[bytes, tuple[bytes, dict[str, Any], bytes, dict[str, Any], Kem]] = {}
        teams = {}
        for blob in raws(given["teams"]):
            try:
                found = opened_team(blob, self.offices)
                teams[found["team"], found["generation"]] = (blob, found)
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))
        for blob in raws(given["memberships"]):
            try:
                member = opened_membership(blob, self.offices)
                need(member["person"] == self.person, "grant-other-person")
                need(member["certificate"] in own, "grant-certificate-mismatch")
                need(sha256(blob) not in raws(given["revoked_memberships"]), "membership-revoked")
                need(now >= member["not_before"], "membership-not-yet")
                need(now <= member["live_until"], "membership-expired")
                place = (member["team"], member["generation"])
                need(place in teams, "team-missing")
                record, team = teams[place]
                kem = Kem(seed_of(blob, member, self.kem))
                need(kem.public == team["kem"], "commitment")
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))
                continue
            if not member["keeps"]:
                self.ways[sha256(record)] = (blob, member, record, team, kem)
        for blob in raws(given["grants"]):
            try:
                self.through(blob)
            except Refused as refused:
                self.refused.append((sha256(blob), refused.name))

    def through(self, blob: bytes) -> None:
        grant = opened_grant(blob, self.offices, None)
        need(grant["certificate"] in self.ways, "membership-missing")
        turn, member, record, team, kem = self.ways[grant["certificate"]]
        need(grant["person"] == "team:" + team["team"], "membership-missing")
        for signed, moment in ((blob, self.now), (turn, self.now), (record, team["made"])):
            _, officer = self.offices.signer(signed)
            self.offices.check(officer, grant["zone"], moment, grant["right"])
            need(officer is None or officer.person != self.person or signed is record, "grant-self")
        check_moment(grant, self.now)
        zone, epoch = self.zone(grant["zone"]), self.epoch(grant["zone"], grant["epoch"])
        key = sealed_key(blob, grant, kem, "cloister/grant/v1", "cloister/grant-seal/v1|")
        until = min(grant["live_until"], member["live_until"])
        opened_zone = {"zone": zone, "grant": grant, "index_key": index_key(epoch, key), "key": key, "team": team["team"], "until": until}
        self.zones[grant["zone"]] = opened_zone


def team(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    found = opened_team(blob, Offices(given))
    return {"hash": sha256(blob), **{name: one for name, one in found.items() if name != "trust"}}


def membership(given: dict[str, Any]) -> dict[str, Any]:
    blob, seed = raw(given, "blob", "kem_seed")
    found = opened_membership(blob, Offices(given))
    return {"seed": seed_of(blob, found, Kem(seed)), **{name: one for name, one in found.items() if name not in ("trust", "sealed")}}


def team_keyring(given: dict[str, Any]) -> dict[str, Any]:
    found = TeamKeyring(given)
    zones = []
    for one in found.zones.values():
        says = {name: one["grant"][name] for name in ("zone", "epoch", "right")}
        zones.append({**says, "team": one["team"], "live_until": one["until"], "index_key": one["index_key"]})
    return {"zones": zones, "refused": sorted([hashed.hex(), name] for hashed, name in found.refused)}


FORMATS = {"team": team, "membership": membership, "team-keyring": team_keyring}
