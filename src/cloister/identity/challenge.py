"""Challenges of WebAuthn: random, used once, gone after 120 seconds. Held in memory; a restart only asks again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.base.errors import Denied

CHALLENGE_LIFE: Final = timedelta(seconds=120)
CHALLENGE_BYTES: Final = 32
CHALLENGES_MAX: Final = 20_000  # the oldest makes room


class Purpose(StrEnum):
    SIGN_IN = "sign-in"
    ENROLMENT = "enrolment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What one person was asked to sign; `flow` names it to the browser, `subject` is a sign-in name."""

    flow: str
    purpose: Purpose
    subject: str
    value: bytes = field(repr=False)
    expires: datetime


class Challenges:
    """Those asked and not yet answered, in the order of asking."""

    def __init__(self) -> None:
        self._open: dict[str, Challenge] = {}

    def __len__(self) -> int:
        return len(self._open)

    def issue(self, purpose: Purpose, subject: str, *, now: datetime) -> Challenge:
        self._forget(now)
        challenge = Challenge(
            flow=secrets.token_urlsafe(24),
            purpose=purpose,
            subject=subject,
            value=secrets.token_bytes(CHALLENGE_BYTES),
            expires=now + CHALLENGE_LIFE,
        )
        self._open[challenge.flow] = challenge
        return challenge

    def take(self, flow: str, purpose: Purpose, *, now: datetime) -> Challenge:
        """The challenge of this flow, which is thereby used up, whatever the answer turns out to be."""
        challenge = self._open.pop(flow, None)
        if challenge is None or challenge.purpose is not purpose or now >= challenge.expires:
            raise Denied("This took too long, or was answered before.", hint="Start again.", reason="challenge-over")
        return challenge

    def _forget(self, now: datetime) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if len(self._open) < CHALLENGES_MAX and now < oldest.expires:
                return
            del self._open[oldest.flow]
