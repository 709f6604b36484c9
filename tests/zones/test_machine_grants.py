"""Who may open a ward, against a model: grants, replacements, revocations, officers who leave, certificates made anew, time.

Two access officers grant, replace and revoke; the certificate officer revokes certificates and makes new ones for the same
keys. After each step a fresh keyring is opened from all that was ever signed, in an order drawn by chance, and must be
what the model says. The model knows no bytes: only who said what, and when it ends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from zones_cast import DAY, NOW, TRUST, WARD, Trust, digest

from cloister.base.errors import CloisterError
from cloister.zones import Keyring, bundle, envelope, revocations

RIGHTS: Final = ("hold", "read", "write")
PEOPLE: Final = ("adele", "bruno")
STEP: Final = timedelta(hours=6)
JUST_BEFORE: Final = timedelta(milliseconds=1)


@dataclass
class Certificate:
    """The model's certificate."""

    der: bytes
    begins: datetime
    ends: datetime
    revoked: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.begins <= now <= self.ends and not (self.revoked is not None and now >= self.revoked)


@dataclass
class Given:
    """The model's grant."""

    blob: bytes
    person: str
    officer: str
    certificate: bytes
    right: str
    seq: int
    begins: datetime
    ends: datetime
    revoked: datetime | None = None


@dataclass
class Officer:
    certificate: Certificate
    mandate_ends: datetime
    signer: envelope.Signer
    blobs: list[bytes] = field(default_factory=list)


class Grants(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.trust = SHARED.setdefault("trust", Trust())
        self.now = NOW
        self.given: list[Given] = []
        self.revocations: list[bytes] = []
        marc, nadia = self.trust.marc, NADIA
        self.officers = {
            "marc": self.officer(marc, self.trust.marc_der, NOW + 365 * DAY),
            "nadia": self.officer(nadia, NADIA_DER.setdefault("der", self.trust.certify(nadia, "access")), NOW + 3 * DAY),
        }
        self.certificates = {person: [Certificate(getattr(self.trust, f"{person}_der"), NOW - DAY, NOW + 364 * DAY)] for person in PEOPLE}

    def officer(self, who: bundle.Bundle, der: bytes, mandate_ends: datetime) -> Officer:
        mandate = self.trust.access_mandate(who, der, not_after=mandate_ends)
        signer = envelope.person_signer(digest(der), who.signing)
        return Officer(Certificate(der, NOW - DAY, NOW + 364 * DAY), mandate_ends, signer, [mandate])

    @initialize(order=st.randoms(use_true_random=False))
    def begins(self, order: Any) -> None:
        self.order = order

    # --- what people do -------------------------------------------------------------------------------

    @rule(
        person=st.sampled_from(PEOPLE),
        officer=st.sampled_from(("marc", "nadia")),
        right=st.sampled_from(RIGHTS),
        starts=st.integers(-4, 4),
        length=st.integers(0, 12),
        which=st.integers(0, 5),
    )
    def grants(self, person: str, officer: str, right: str, starts: int, length: int, which: int) -> None:
        """A first grant, or one that replaces the last; to any certificate that the person ever had."""
        mine = [one for one in self.given if one.person == person]
        last = max(mine, key=lambda one: one.seq, default=None)
        known = self.certificates[person]
        der = known[which % len(known)].der
        seq, previous = (last.seq + 1, digest(last.blob)) if last else (1, bytes(32))
        begins, ends = self.now + starts * STEP, self.now + (starts + length) * STEP
        blob = self.trust.grant(
            getattr(self.trust, person),
            der,
            signer=self.officers[officer].signer,
            right=right,
            seq=seq,
            previous=previous,
            not_before=begins,
            live_until=ends,
        )
        self.given.append(Given(blob, person, officer, digest(der), right, seq, begins, ends))

    @precondition(lambda self: bool(self.given))
    @rule(which=st.integers(0, 50), officer=st.sampled_from(("marc", "nadia")))
    def revokes(self, which: int, officer: str) -> None:
        """Signed by an officer; it counts if that officer could still do so just before, also in the moment of the officer's own end."""
        one = self.given[which % len(self.given)]
        self.revocations.append(
            revocations.revocation(
                self.officers[officer].signer,
                trust=TRUST,
                kind="grant",
                target=digest(one.blob),
                person=one.person,
                reason="Left",
                at=self.now,
            )
        )
        if self.in_office(officer, self.now - JUST_BEFORE) and (one.revoked is None or one.revoked > self.now):
            one.revoked = self.now

    @precondition(lambda self: bool(self.given))
    @rule(which=st.integers(0, 50), who=st.sampled_from(("adele", "ines")))
    def somebody_who_may_not_revokes(self, which: int, who: str) -> None:
        """A clinician ends nobody's grant, and neither does the certificate officer."""
        der, private = getattr(self.trust, f"{who}_der"), getattr(self.trust, who)
        target = digest(self.given[which % len(self.given)].blob)
        signer = envelope.person_signer(digest(der), private.signing)
        terms = {"trust": TRUST, "kind": "grant", "target": target, "person": None, "reason": "x", "at": self.now}
        self.revocations.append(revocations.revocation(signer, **terms))

    @rule(who=st.sampled_from((*PEOPLE, "nadia")), which=st.integers(0, 5))
    def certificate_is_revoked(self, who: str, which: int) -> None:
        known = [self.officers[who].certificate] if who in self.officers else self.certificates[who]
        one = known[which % len(known)]
        one.revoked = min(one.revoked, self.now) if one.revoked else self.now
        signer = envelope.person_signer(digest(self.trust.ines_der), self.trust.ines.signing)
        terms = {"trust": TRUST, "kind": "certificate", "target": digest(one.der), "person": who, "reason": "Card lost", "at": self.now}
        self.revocations.append(revocations.revocation(signer, **terms))

    @rule(person=st.sampled_from(PEOPLE), days=st.integers(1, 3))
    def certificate_is_made_anew(self, person: str, days: int) -> None:
        if len(self.certificates[person]) < 4:
            der = self.trust.certify(getattr(self.trust, person), days=days, now=self.now)
            said = x509.load_der_x509_certificate(der)  # its term begins a little early, for clocks that are late
            self.certificates[person].append(Certificate(der, said.not_valid_before_utc, said.not_valid_after_utc))

    @rule(steps=st.integers(1, 6))
    def time_passes(self, steps: int) -> None:
        self.now += steps * STEP

    # --- the model ------------------------------------------------------------------------------------

    def in_office(self, officer: str, moment: datetime | None = None) -> bool:
        one, moment = self.officers[officer], moment or self.now
        return one.certificate.holds(moment) and moment <= one.mandate_ends

    def right_of(self, person: str) -> str | None:
        """The right that the person has in the ward now; None: the ward is closed."""
        mine = [one for one in self.given if one.person == person]
        newest = max(mine, key=lambda one: one.seq, default=None)
        if newest is None or newest.revoked is not None or not newest.begins <= self.now <= newest.ends:
            return None
        held = {digest(one.der) for one in self.certificates[person] if one.holds(self.now)}
        return newest.right if newest.certificate in held and self.in_office(newest.officer) else None

    def opened(self, person: str) -> Keyring | None:
        ders = [self.trust.root_der, self.trust.ines_der, *(one.certificate.der for one in self.officers.values())]
        ders += [one.der for known in self.certificates.values() for one in known]
        rows = [one.blob for one in self.given]
        self.order.shuffle(rows)
        self.order.shuffle(ders)
        mandates = [*self.trust.mandates[:1], *(blob for one in self.officers.values() for blob in one.blobs)]
        material = self.trust.material(*rows, certificates=ders, mandates=mandates, revocations=self.revocations)
        try:
            return Keyring.open(bundle=getattr(self.trust, person), trust=self.trust.roots, material=material, now=self.now)
        except CloisterError:
            return None

    @invariant()
    def each_person_opens_what_the_model_says(self) -> None:
        if not hasattr(self, "order"):
            return
        for person in PEOPLE:
            keyring, right = self.opened(person), self.right_of(person)
            certified = any(one.holds(self.now) for one in self.certificates[person])
            assert (keyring is not None) == certified
            found = keyring.zones if keyring else []
            assert [one.zone for one in found] == ([WARD] if right else [])
            if keyring and right:
                assert (keyring.can(WARD, "read"), keyring.can(WARD, "write")) == (right != "hold", right == "write")
                keyring.close()


SHARED: Final[dict[str, Trust]] = {}
NADIA: Final = bundle.new_bundle("nadia")
NADIA_DER: Final[dict[str, bytes]] = {}
Grants.TestCase.settings = settings(max_examples=40, stateful_step_count=14, deadline=None)
TestGrants = Grants.TestCase


def test_what_an_officer_ended_stays_ended_although_the_officer_s_certificate_ends_in_that_moment() -> None:
    for first in ("revokes", "certificate_is_revoked"):
        machine = Grants()
        machine.begins(order=random.Random(1))
        machine.grants(length=4, officer="marc", person="adele", right="read", starts=0, which=0)
        steps = {
            "revokes": lambda machine=machine: machine.revokes(officer="nadia", which=0),
            "certificate_is_revoked": lambda machine=machine: machine.certificate_is_revoked(which=0, who="nadia"),
        }
        steps.pop(first)()
        for step in steps.values():
            step()
        machine.each_person_opens_what_the_model_says()
        assert machine.right_of("adele") is None
