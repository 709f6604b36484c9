"""What opens in a zone whose keys are renewed again and again, against a model: epochs, floors, closed pasts, wraps.

Each epoch links to the one before, or closes the past. People hold grants for one epoch with a floor; dossiers are wrapped under the
epoch of their day, and some are rewrapped later. Whatever the walk, each wrap opens exactly for whom the model says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from zones_cast import WARD, Trust, digest

from cloister.base.errors import CloisterError
from cloister.base.secret import Secret
from cloister.zones import Keyring, Refusal, algorithms, epochs

PEOPLE: Final = ("adele", "bruno")
EPOCHS_MAX: Final = 6


@dataclass
class Held:
    """The model's grant: the newest of a person."""

    blob: bytes
    epoch: int
    floor: int
    seq: int


@dataclass
class Wrapped:
    """One dossier's key, under the epoch of its last wrap."""

    dossier: str
    key: bytes
    epoch: int
    sealed: bytes


class Epochs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.trust = SHARED.setdefault("trust", Trust())
        self.keys = [self.trust.keys[WARD]]
        self.records = [self.trust.epoch_record(self.keys[0])]
        self.closed: set[int] = set()  # epochs that do not open the one before
        self.held: dict[str, Held] = {}
        self.had: dict[str, set[int]] = {person: set() for person in PEOPLE}  # epochs of grants that newer ones followed
        self.rows: list[bytes] = []
        self.wraps: list[Wrapped] = []

    @property
    def newest(self) -> int:
        return len(self.keys)

    # --- what officers and sessions do ------------------------------------------------------------------

    @precondition(lambda self: self.newest < EPOCHS_MAX)
    @rule(closes=st.booleans(), by_officer=st.booleans())
    def a_new_epoch_begins(self, closes: bool, by_officer: bool) -> None:
        number = self.newest + 1
        keys = epochs.EpochKeys(WARD, number, epochs.new_zone_key())
        signer = {"signer": self.trust.marc_signer} if by_officer else {}
        previous = None if closes else self.keys[-1].key
        index_key = self.trust.index_keys[WARD]
        self.records.append(self.trust.epoch_record(keys, previous, index_key=index_key, **signer))
        self.keys.append(keys)
        if closes:
            self.closed.add(number)

    @rule(person=st.sampled_from(PEOPLE), back=st.sampled_from((0, 0, 0, 1, 2)), floor=st.sampled_from((1, 1, 1, 2, 3)))
    def a_grant_is_given(self, person: str, back: int, floor: int) -> None:
        """For the newest epoch, or for an older one by an officer who has no newer key."""
        epoch = max(1, self.newest - back)
        last = self.held.get(person)
        seq, previous = (last.seq + 1, digest(last.blob)) if last else (1, bytes(32))
        floor = min(floor, epoch)
        terms: dict[str, Any] = {"epoch": epoch, "floor": floor, "zone_key": self.keys[epoch - 1].key, "seq": seq, "previous": previous}
        blob = self.trust.grant(getattr(self.trust, person), **terms)
        self.rows.append(blob)
        if last:
            self.had[person].add(last.epoch)
        self.held[person] = Held(blob, epoch, floor, seq)

    @rule(person=st.sampled_from(PEOPLE))
    def a_dossier_is_wrapped(self, person: str) -> None:
        """Only whoever has the newest epoch writes; whoever has an older one is refused."""
        keyring = self.opened(person)
        key, dossier = algorithms.random(32), f"dossier-{len(self.wraps)}"
        held = self.held.get(person)
        if keyring is None or held is None:
            return
        if held.epoch < self.newest:
            assert self.refusal(lambda: keyring.wrap(WARD, dossier, 1, Secret(key))) is Refusal.EPOCH_MISSING
            return
        self.wraps.append(Wrapped(dossier, key, self.newest, keyring.wrap(WARD, dossier, 1, Secret(key))))

    @precondition(lambda self: bool(self.wraps))
    @rule(person=st.sampled_from(PEOPLE), which=st.integers(0, 20))
    def a_dossier_is_rewrapped(self, person: str, which: int) -> None:
        keyring, one, held = self.opened(person), self.wraps[which % len(self.wraps)], self.held.get(person)
        if keyring is None or held is None or held.epoch < self.newest or self.reading(person, one.epoch) is not None:
            return
        key = keyring.unwrap(WARD, one.epoch, one.dossier, 1, one.sealed)
        one.epoch, one.sealed = self.newest, keyring.wrap(WARD, one.dossier, 1, key)

    # --- the model ----------------------------------------------------------------------------------------

    def reading(self, person: str, epoch: int) -> Refusal | None:
        """Why this person cannot open what was wrapped in that epoch; None: it opens."""
        held = self.held.get(person)
        if held is None:
            return Refusal.ZONE_NOT_HELD
        if epoch < held.floor:
            return Refusal.EPOCH_FLOOR
        if epoch > held.epoch:
            return Refusal.EPOCH_MISSING
        # Where the past is closed, only who was there before gets over the gap: with the grant of that time.
        gaps = [one for one in self.closed if epoch < one <= held.epoch and one - 1 not in self.had[person]]
        return Refusal.EPOCH_FLOOR if gaps else None

    def opened(self, person: str) -> Keyring | None:
        return self.trust.keyring(*self.rows, who=getattr(self.trust, person), epochs=self.records) if person in self.held else None

    @staticmethod
    def refusal(act: Any) -> Refusal | None:
        try:
            act()
        except CloisterError as refused:
            return Refusal(refused.reason)
        return None

    @invariant()
    def each_wrap_opens_for_whom_the_model_says(self) -> None:
        for person in PEOPLE:
            keyring = self.opened(person)
            if keyring is None:
                continue
            held = self.held[person]
            (zone,) = keyring.zones
            assert (zone.epoch, keyring.can(WARD, "write")) == (held.epoch, held.epoch == self.newest)
            assert keyring.index_key(WARD) == self.trust.index_keys[WARD].reveal()
            for one in self.wraps:
                found = self.refusal(lambda one=one, keyring=keyring: keyring.unwrap(WARD, one.epoch, one.dossier, 1, one.sealed))
                assert found is self.reading(person, one.epoch)
                if found is None:
                    assert keyring.unwrap(WARD, one.epoch, one.dossier, 1, one.sealed).reveal() == one.key
            self.no_other_number_opens(keyring)

    def no_other_number_opens(self, keyring: Keyring) -> None:
        """A wrap of one epoch under another epoch's number opens for nobody."""
        for one in self.wraps[:1]:
            for number in {*range(1, EPOCHS_MAX + 1)} - {one.epoch}:
                assert self.refusal(lambda one=one, number=number: keyring.unwrap(WARD, number, one.dossier, 1, one.sealed)) is not None


SHARED: Final[dict[str, Trust]] = {}
Epochs.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestEpochs = Epochs.TestCase
