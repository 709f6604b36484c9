"""Teams and memberships: who opens a team's zone, when, by whose word; and what is refused, by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from zones_cast import NOW, OTHER_WARD, TRUST, WARD, Trust, digest, refused

from cloister.base.secret import Secret
from cloister.zones import Keyring, Refusal, algorithms, bundle, grants, teams

HOUR: Final = timedelta(hours=1)


class Nights:
    """A team of the ward, and what its officer signs."""

    def __init__(self, trust: Trust, generation: int = 1, **changed: Any) -> None:
        self.trust = trust
        self.generation = generation
        self.seed = teams.new_team_seed()
        self.kem = algorithms.KemPrivate(self.seed.reveal())
        terms = {"name": "Nights", "hospital": "chu", "kem_public": self.kem.public, "made": NOW - HOUR, **changed}
        signer = terms.pop("signer", trust.marc_signer)
        self.record = teams.team_record(signer, trust=TRUST, team="nights", generation=generation, **terms)

    def grant(self, **changed: Any) -> bytes:
        terms = {"certificate": digest(self.record), "kem_public": self.kem.public, "zone_key": self.trust.keys[WARD].key, **changed}
        whole = {
            "zone": WARD, "epoch": 1, "floor": 1, "person": "team:nights", "right": "write", "not_before": NOW - HOUR,
            "live_until": NOW + 30 * HOUR, "reason": "Ward", **terms,
        }  # fmt: skip
        return grants.sign_grant(whole.pop("signer", self.trust.marc_signer), trust=TRUST, **whole)

    def member(self, who: bundle.Bundle | None = None, **changed: Any) -> bytes:
        person = who or self.trust.adele
        der = {"adele": self.trust.adele_der, "bruno": self.trust.bruno_der, "marc": self.trust.marc_der}[person.person]
        terms = {
            "team": "nights", "generation": self.generation, "person": person.person, "certificate": digest(der),
            "kem_public": person.kem_public, "team_seed": self.seed, "not_before": NOW - HOUR, "live_until": NOW + 8 * HOUR,
            "reason": "Rota", **changed,
        }  # fmt: skip
        return teams.membership(terms.pop("signer", self.trust.marc_signer), trust=TRUST, **terms)

    def keyring(self, *memberships: bytes, **changed: Any) -> Keyring:
        given = changed.pop("grants", [self.grant()])
        return self.trust.keyring(*given, teams=[self.record], memberships=memberships, **changed)


def reasons(keyring: Keyring) -> set[Refusal]:
    return {reason for _, reason in keyring.refused}


def test_a_member_opens_the_teams_zone_until_the_turn_ends(trust: Trust) -> None:
    nights = Nights(trust)
    keyring = nights.keyring(nights.member())
    (held,) = keyring.zones
    assert (held.zone, held.team, held.live_until) == (WARD, "nights", NOW + 8 * HOUR)
    assert keyring.can(WARD, "write")
    assert keyring.close_ended(NOW + 8 * HOUR + timedelta(seconds=1)) == [WARD]
    with refused(Refusal.ZONE_NOT_HELD):
        keyring.index_key(WARD)


def test_a_grant_that_ends_before_the_turn_ends_the_zone(trust: Trust) -> None:
    nights = Nights(trust)
    (held,) = nights.keyring(nights.member(), grants=[nights.grant(live_until=NOW + HOUR)]).zones
    assert held.live_until == NOW + HOUR


def test_a_keeper_opens_nothing_and_can_name_members(trust: Trust) -> None:
    nights = Nights(trust)
    keyring = nights.keyring(nights.member(keeps=True))
    assert keyring.zones == []
    assert keyring.team("nights").seed == nights.seed
    with refused(Refusal.MEMBERSHIP_MISSING):
        keyring.team("days")


def test_when_a_turn_ends_a_persons_own_grant_takes_over(trust: Trust) -> None:
    nights = Nights(trust)
    keyring = nights.keyring(nights.member(), grants=[nights.grant(), trust.grant(right="read")])
    assert keyring.can(WARD, "write")
    assert keyring.close_ended(NOW + 9 * HOUR) == []
    assert keyring.can(WARD, "read")
    assert not keyring.can(WARD, "write")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"not_before": NOW + HOUR}, Refusal.MEMBERSHIP_NOT_YET),
        ({"live_until": NOW - timedelta(seconds=1)}, Refusal.MEMBERSHIP_EXPIRED),
        ({"team_seed": Secret(bytes(32))}, Refusal.COMMITMENT),
        ({"generation": 2}, Refusal.TEAM_MISSING),
        ({"certificate": bytes(32)}, Refusal.GRANT_CERTIFICATE_MISMATCH),
        ({"person": "bruno"}, Refusal.GRANT_OTHER_PERSON),
    ],
)
def test_a_membership_that_does_not_hold_opens_nothing(trust: Trust, changed: dict[str, Any], reason: Refusal) -> None:
    nights = Nights(trust)
    keyring = nights.keyring(nights.member(**changed))
    assert keyring.zones == []
    assert reasons(keyring) == {reason, Refusal.MEMBERSHIP_MISSING}


def test_a_revoked_membership_opens_nothing(trust: Trust) -> None:
    nights = Nights(trust)
    member = nights.member()
    keyring = nights.keyring(member, revoked_memberships=[digest(member)])
    assert keyring.zones == []
    assert Refusal.MEMBERSHIP_REVOKED in reasons(keyring)


def test_nobody_makes_oneself_a_member_nor_opens_what_one_granted(trust: Trust) -> None:
    nights = Nights(trust)
    with refused(Refusal.GRANT_SELF):
        nights.member(trust.marc)
    by_root = nights.member(trust.marc, signer=trust.root_signer)
    keyring = nights.keyring(by_root, who=trust.marc)
    assert keyring.zones == []
    assert Refusal.GRANT_SELF in reasons(keyring), "Marc granted the zone to this team himself"


def test_an_officer_of_another_ward_leads_nobody_into_this_one(trust: Trust) -> None:
    """Whoever names a member, and whoever made the team, must hold an office for the zone that it opens."""
    nights = Nights(trust)
    elsewhere = trust.access_mandate(trust.bruno, trust.bruno_der, zones=[OTHER_WARD])
    bruno_der = trust.certify(trust.bruno, "access")
    mandate = trust.access_mandate(trust.bruno, bruno_der, zones=[OTHER_WARD])
    signer = replace(trust.marc_signer, id=digest(bruno_der).hex(), key=trust.bruno.signing)
    material = trust.material(nights.grant(), teams=[nights.record], memberships=[nights.member(signer=signer)])
    material = replace(material, certificates=[*material.certificates, bruno_der], mandates=[*trust.mandates, mandate, elsewhere])
    keyring = Keyring.open(bundle=trust.adele, trust=trust.roots, material=material, now=NOW)
    assert keyring.zones == []
    assert reasons(keyring) == {Refusal.ABOVE_CEILING}
    other = Nights(trust, signer=signer)
    material = replace(material, grants=[other.grant()], teams=[other.record], memberships=[other.member()])
    assert Keyring.open(bundle=trust.adele, trust=trust.roots, material=material, now=NOW).zones == []


def test_a_clinician_signs_no_team_and_no_membership(trust: Trust) -> None:
    nights = Nights(trust)
    signer = replace(trust.marc_signer, id=digest(trust.bruno_der).hex(), key=trust.bruno.signing)
    keyring = nights.keyring(nights.member(signer=signer))
    assert keyring.zones == []
    assert reasons(keyring) == {Refusal.MANDATE_MISSING}


def test_a_new_generation_shuts_out_whoever_has_only_the_old_key(trust: Trust) -> None:
    old, new = Nights(trust), Nights(trust, generation=2)
    keyring = trust.keyring(new.grant(), teams=[old.record, new.record], memberships=[old.member()])
    assert keyring.zones == []
    assert reasons(keyring) == {Refusal.MEMBERSHIP_MISSING}
    assert trust.keyring(new.grant(), teams=[new.record], memberships=[new.member()]).can(WARD, "write")


def test_what_was_sealed_to_a_colleague_opens_for_nobody_else(trust: Trust) -> None:
    nights = Nights(trust)
    stolen = nights.member(trust.bruno, person="adele", certificate=digest(trust.adele_der))
    keyring = nights.keyring(stolen)
    assert keyring.zones == []
    assert Refusal.TAG in reasons(keyring)


@given(st.integers(0, 2500), st.integers(1, 255))
@settings(max_examples=60)
def test_a_membership_with_any_byte_changed_opens_nothing(trust: Trust, place: int, bits: int) -> None:
    nights = KEPT.setdefault("nights", Nights(trust))
    member = KEPT_MEMBER.setdefault("member", nights.member())
    at = place % len(member)
    changed = member[:at] + bytes([member[at] ^ bits]) + member[at + 1 :]
    assert nights.keyring(changed).zones == []


KEPT: Final[dict[str, Nights]] = {}
KEPT_MEMBER: Final[dict[str, bytes]] = {}


class Rota(RuleBasedStateMachine):
    """Turns are signed, ended early and run out; Adèle's keyring is renewed or not, and is never wrong about the ward."""

    def __init__(self) -> None:
        super().__init__()
        self.trust = SHARED.setdefault("trust", Trust())
        self.nights = NIGHTS.setdefault("nights", Nights(self.trust))
        self.turns: list[tuple[bytes, int, int]] = []
        self.ended: set[bytes] = set()
        self.hour = 0
        self.renewed_at = 0

    @initialize()
    def begins(self) -> None:
        self.keyring = self.trust.keyring(**self.material())

    def material(self) -> dict[str, Any]:
        """As the gate hands it out: turns only while they hold."""
        now = [blob for blob, start, end in self.turns if start <= self.hour <= end]
        given = {"grants": [self.nights.grant()], "teams": [self.nights.record], "memberships": now}
        return {**given, "revoked_memberships": list(self.ended)}

    @property
    def now(self) -> Any:
        return NOW + self.hour * HOUR

    @rule(start=st.integers(0, 12), length=st.integers(1, 6))
    def is_signed(self, start: int, length: int) -> None:
        first, last = self.hour + start, self.hour + start + length
        moments = {"not_before": NOW + first * HOUR, "live_until": NOW + last * HOUR}
        self.turns.append((self.nights.member(**moments), first, last))
        self.renewed_at = -1  # signed, and not yet heard of

    @precondition(lambda self: bool(self.turns))
    @rule(which=st.integers(0, 50))
    def is_ended(self, which: int) -> None:
        self.ended.add(digest(self.turns[which % len(self.turns)][0]))
        self.renews()

    @rule(hours=st.integers(1, 5))
    def time_passes(self, hours: int) -> None:
        self.hour += hours
        self.keyring.close_ended(self.now)

    @rule()
    def renews(self) -> None:
        self.keyring.renew(self.trust.material(**self.material()), self.now)
        self.renewed_at = self.hour

    @invariant()
    def holds_the_ward_only_in_a_turn(self) -> None:
        if not hasattr(self, "keyring"):
            return
        standing = [one for one in self.turns if digest(one[0]) not in self.ended and one[1] <= self.hour <= one[2]]
        held = bool(self.keyring.zones)
        assert not held or standing
        if self.renewed_at == self.hour and self.hour < 30:
            assert held == bool(standing)


SHARED: Final[dict[str, Trust]] = {}
NIGHTS: Final[dict[str, Nights]] = {}
Rota.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestRota = Rota.TestCase
