"""Adding a passkey inside one's session: prove the passphrase again, wrap the unlock key once more, under the passkey's key.

The session does not keep the unlock key after opening, so it is asked for again; that also stops somebody at an unlocked
desk from adding a key of their own. Both keys come sealed (HPKE) to a key made for this one enrolment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import Corrupt, Denied, Invalid, NotFound
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.identity import challenge
from cloister.zones import algorithms, unlockers

ENROLMENTS_MAX: Final = 8
KEK_BYTES: Final = 32
INFO: Final = b"cloister/enrol/v1|"
CONFIRM_PARAMETERS: Final = ("salt", "passes", "memory_kib", "lanes")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One that has begun. `seed` is the private half of the key to which the browser seals."""

    challenge: challenge.Challenge
    seed: Secret

    @property
    def public_key(self) -> bytes:
        return algorithms.kem_public(self.seed.reveal())


@dataclass(slots=True)
class Enrolments:
    """Those of one session that have begun; each is taken once, within its challenge's life."""

    challenges: challenge.Challenges = field(default_factory=challenge.Challenges)
    seeds: dict[str, Secret] = field(default_factory=dict)

    def begin(self, sign_in: str, *, now: datetime) -> Enrolment:
        while len(self.seeds) >= ENROLMENTS_MAX:
            del self.seeds[next(iter(self.seeds))]
        asked = self.challenges.issue(challenge.Purpose.ENROLMENT, sign_in, now=now)
        enrolment = Enrolment(asked, Secret(algorithms.random(32)))
        self.seeds[asked.flow] = enrolment.seed
        return enrolment

    def take(self, flow: str, *, now: datetime) -> Enrolment:
        """Denied(challenge-over) when it is unknown, was taken, or is too old."""
        seed = self.seeds.pop(flow, None)
        asked = self.challenges.take(flow, challenge.Purpose.ENROLMENT, now=now)
        if seed is None:
            raise Denied("This took too long, or was answered before.", hint="Start again.", reason="challenge-over")
        return Enrolment(asked, seed)


def unsealed(enrolment: Enrolment, sealed: bytes) -> tuple[Secret, Secret]:
    """(the key that opens the passphrase's unlocker, the new passkey's key)."""
    try:
        both = algorithms.kem_open(enrolment.seed.reveal(), sealed, INFO + enrolment.challenge.flow.encode())
    except Corrupt:
        raise Denied("This message is not for this enrolment.", hint="Start again.", reason="unlock-message") from None
    if len(both) != 2 * KEK_BYTES:
        raise Invalid("This message has the wrong length.", reason="unlock-message")
    return Secret(both[:KEK_BYTES]), Secret(both[KEK_BYTES:])


def passphrase_row(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The passphrase unlocker among a person's; the newest, as at the door."""
    found = [row for row in rows if row["kind"] == unlockers.UnlockerKind.PASSPHRASE]
    if not found:
        raise NotFound("You have no passphrase to confirm this with.", reason="no-passphrase")
    return found[-1]


def wrapped_again(
    row: Mapping[str, Any],
    person: str,
    present: Secret,
    fresh: Secret,
    params: dict[str, Any],
    *,
    kind: str = unlockers.UnlockerKind.PASSKEY,
    id: str | None = None,
) -> unlockers.Unlocker:
    """The same unlock key under the new way's key; Denied(wrong) if the passphrase was not right."""
    stored = unlockers.Unlocker(row["id"], person, row["kind"], dict(row["params"]), bytes(row["sealed"]))
    try:
        unlock_key = unlockers.unwrap_unlock_key(present, stored)
    except Corrupt:
        raise Denied("The passphrase is not right.", hint="Type it again.", reason="wrong") from None
    return unlockers.wrap_unlock_key(fresh, id or new_id(), person, kind, params, unlock_key)
