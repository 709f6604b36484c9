"""Teams and memberships: a ward's rota changes one team, not every zone. Spec: docs/spec/zones.md 25.

A team is an HPKE key pair, one for each generation; a grant to a team is sealed to it, and names the hash of its
record. A membership is an officer's signed word that one person belongs to the team for one stretch of time,
with the team's seed sealed to that person. Whoever keeps a team may add members, and opens nothing through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms, envelope
from cloister.zones.cbor import MILLISECONDS_MAX, Fields, encoded
from cloister.zones.grants import Grant, Offices
from cloister.zones.refusals import Forged, Refusal, Refused

TEAM_LABEL: Final = "cloister/team/v1"
MEMBERSHIP_LABEL: Final = "cloister/membership/v1"
MEMBERSHIP_INFO: Final = b"cloister/membership-seal/v1|"
SUBJECT: Final = "team:"  # a grant's `person` for a team: this and the team's id
SEALED_BYTES: Final = algorithms.KEM_ENC_BYTES + 32 + algorithms.TAG_BYTES
REASON_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Team:
    """One generation of a team, as its officer signed it."""

    team: str
    generation: int
    name: str
    hospital: str
    kem_public: bytes
    made: datetime
    signer: str
    hash: bytes

    @property
    def subject(self) -> str:
        return SUBJECT + self.team


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's place in a team for one stretch of time. `keeps`: to add members with, never to open a zone with."""

    team: str
    generation: int
    person: str
    certificate: bytes
    keeps: bool
    not_before: datetime
    live_until: datetime
    reason: str
    signer: str
    sealed: bytes
    info: bytes
    hash: bytes

    def check_moment(self, now: datetime) -> None:
        if now < self.not_before:
            raise Refused(Refusal.MEMBERSHIP_NOT_YET)
        if now > self.live_until:
            raise Refused(Refusal.MEMBERSHIP_EXPIRED)


@dataclass(frozen=True, slots=True)
class Way:
    """A team that is open to this person now: its verified record, the membership, and the team's private key."""

    team: Team
    membership: Membership
    seed: Secret = field(repr=False)
    kem: algorithms.KemPrivate = field(repr=False)


def new_team_seed() -> Secret:
    return Secret(algorithms.random(algorithms.KEY_BYTES))


def team_record(
    signer: envelope.Signer, *, trust: str, team: str, generation: int, name: str, hospital: str, kem_public: bytes, made: datetime
) -> bytes:
    """A generation of a team, signed by an access officer. A new one is made when someone must lose the team's key."""
    body = {
        "trust": trust,
        "team": team,
        "generation": generation,
        "name": name,
        "hospital": hospital,
        "kem": kem_public,
        "made": _milliseconds(made),
    }
    return signer.sign(TEAM_LABEL, body)


def verified_team(blob: bytes, offices: Offices) -> Team:
    """The team, if a known certificate or the access root signed it. Whether that was an office for a zone: `Teams.way`."""
    body = envelope.fields(TEAM_LABEL, blob, offices.claimed_key(blob))
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    team = Team(
        team=body.text("team"),
        generation=body.number("generation", low=1, high=2**31 - 1),
        name=body.text("name"),
        hospital=body.text("hospital"),
        kem_public=body.octets("kem", algorithms.KEM_PUBLIC_BYTES),
        made=body.moment("made"),
        signer=envelope.peek_signer(blob),
        hash=envelope.digest(blob),
    )
    body.done()
    return team


def membership(
    signer: envelope.Signer,
    *,
    trust: str,
    team: str,
    generation: int,
    person: str,
    certificate: bytes,
    kem_public: bytes,
    team_seed: Secret,
    not_before: datetime,
    live_until: datetime,
    reason: str,
    keeps: bool = False,
) -> bytes:
    """A membership with the team's seed sealed to the person: signed today, it opens only in its own time.

    Nobody makes oneself a member; keeping a team, which opens nothing, an officer may take.
    """
    if signer.id == certificate.hex() and not keeps:
        raise Refused(Refusal.GRANT_SELF)
    body: dict[str, Any] = {
        "trust": trust,
        "team": team,
        "generation": generation,
        "person": person,
        "certificate": certificate,
        "keeps": int(keeps),
        "not_before": _milliseconds(not_before),
        "live_until": _milliseconds(live_until),
        "reason": reason[:REASON_CHARACTERS_MAX],
    }
    body["sealed"] = algorithms.kem_seal(kem_public, team_seed.reveal(), _info(signer.id, body))
    return signer.sign(MEMBERSHIP_LABEL, body)


def verified_membership(blob: bytes, offices: Offices) -> Membership:
    """The membership, if a known certificate or the access root signed it; it may be of another time or person."""
    raw = envelope.opened(MEMBERSHIP_LABEL, blob, offices.claimed_key(blob))
    signer = envelope.peek_signer(blob)
    info = _info(signer, {name: value for name, value in raw.items() if name != "sealed"})
    body = Fields(raw)
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    found = Membership(
        team=body.text("team"),
        generation=body.number("generation", low=1, high=2**31 - 1),
        person=body.text("person"),
        certificate=body.octets("certificate", 32),
        keeps=body.number("keeps", high=1) == 1,
        not_before=body.moment("not_before"),
        live_until=body.moment("live_until"),
        reason=body.text("reason"),
        signer=signer,
        sealed=body.octets("sealed", SEALED_BYTES),
        info=info,
        hash=envelope.digest(blob),
    )
    body.done()
    return found


class Teams:
    """The teams that are open to one person now. What does not verify stands in `refused`, by name."""

    def __init__(
        self,
        offices: Offices,
        *,
        person: str,
        certificates: set[bytes],
        kem: algorithms.KemPrivate,
        teams: Iterable[bytes],
        memberships: Iterable[bytes],
        revoked: set[bytes],
        now: datetime,
    ) -> None:
        self._offices = offices
        self._now = now
        self._ways: list[Way] = []
        self.refused: list[tuple[str, Refusal]] = []
        records = self._records(teams)
        for blob in memberships:
            try:
                found = verified_membership(blob, offices)
                _check(found, person, certificates, revoked, now)
                self._ways.append(_opened(found, records.get((found.team, found.generation)), kem))
            except (Forged, Refused) as refused:
                self.refused.append((envelope.digest(blob).hex(), refused.refusal))
        self._ways.sort(key=lambda way: way.membership.live_until, reverse=True)

    @property
    def subjects(self) -> set[str]:
        """What a grant to one of these teams names as its person."""
        return {way.team.subject for way in self._ways if not way.membership.keeps}

    def kept(self, team: str) -> Way:
        """The newest generation of a team that this person keeps or belongs to: for adding members, if an office allows it."""
        ways = [way for way in self._ways if way.team.team == team]
        if not ways:
            raise Refused(Refusal.MEMBERSHIP_MISSING)
        return max(ways, key=lambda way: way.team.generation)

    def way(self, grant: Grant) -> Way:
        """The way through which this person opens a grant to a team; raises the last reason when there is none.

        Whoever made the team and whoever named the member must each hold an office for that zone, up to that
        right: otherwise an officer of one ward could lead people into another through a team.
        """
        last: Forged | Refused = Refused(Refusal.MEMBERSHIP_MISSING)
        for way in self._ways:
            if way.team.subject != grant.person or way.team.hash != grant.certificate or way.membership.keeps:
                continue
            try:
                self._check_offices(way, grant)
            except (Forged, Refused) as refused:
                last = refused
            else:
                return way
        raise last

    def _check_offices(self, way: Way, grant: Grant) -> None:
        self._offices.access_key(way.team.signer, zone=grant.zone, now=way.team.made, right=grant.right)
        _, officer = self._offices.access_key(way.membership.signer, zone=grant.zone, now=self._now, right=grant.right)
        _, granting = self._offices.access_key(grant.signer, zone=grant.zone, now=self._now, right=grant.right)
        if any(one is not None and one.person == way.membership.person for one in (officer, granting)):
            raise Refused(Refusal.GRANT_SELF)

    def _records(self, blobs: Iterable[bytes]) -> dict[tuple[str, int], Team]:
        records: dict[tuple[str, int], Team] = {}
        for blob in blobs:
            try:
                found = verified_team(blob, self._offices)
            except (Forged, Refused) as refused:
                self.refused.append((envelope.digest(blob).hex(), refused.refusal))
                continue
            records[found.team, found.generation] = found
        return records


def _check(found: Membership, person: str, certificates: set[bytes], revoked: set[bytes], now: datetime) -> None:
    if found.person != person:
        raise Refused(Refusal.GRANT_OTHER_PERSON)
    if found.certificate not in certificates:
        raise Refused(Refusal.GRANT_CERTIFICATE_MISMATCH)
    if found.hash in revoked:
        raise Refused(Refusal.MEMBERSHIP_REVOKED)
    found.check_moment(now)


def _opened(found: Membership, team: Team | None, kem: algorithms.KemPrivate) -> Way:
    if team is None:
        raise Refused(Refusal.TEAM_MISSING)
    seed = Secret(kem.open(found.sealed, found.info))
    private = algorithms.KemPrivate(seed.reveal())
    if private.public != team.kem_public:
        raise Forged(Refusal.COMMITMENT)
    return Way(team, found, seed, private)


def _info(signer: str, body: dict[str, Any]) -> bytes:
    return MEMBERSHIP_INFO + algorithms.sha256(encoded([MEMBERSHIP_LABEL, signer, body]))


def _milliseconds(moment: datetime) -> int:
    return min(int(moment.timestamp() * 1000), MILLISECONDS_MAX)
