"""What waits for an answer, in the database: handed out under a random name, taken back once. Several doors share it.

The row's name is a hash, and its content is sealed under the door's own key: the database learns neither what somebody typed nor a
code that it could use. Nothing here opens a record.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn, Protocol

from cloister.base.clock import Clock
from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.identity import challenge
from cloister.zones import Forged, algorithms

KEEP: Final = """
    with gone as (delete from estate.kept where digest in (select digest from estate.kept where until < $5 order by until limit 4))
    insert into estate.kept (digest, kind, sealed, until) values ($1, $2, $3, $4)"""
SEE: Final = "select sealed from estate.kept where digest = $1 and kind = $2 and until > $3"
# One statement, so that of many who come at once one takes it.
TAKE: Final = "delete from estate.kept where digest = $1 and kind = $2 and until > $3 returning sealed"
CHALLENGE: Final = "challenge"


class Queries(Protocol):
    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


class DoorKey:
    """Seals what the door keeps, under a key derived from its secret for one purpose."""

    def __init__(self, door_secret: Secret, purpose: str) -> None:
        self._aead = algorithms.Aead(algorithms.hkdf(door_secret.reveal(), f"cloister/door/{purpose}/v1"))

    def __reduce__(self) -> NoReturn:
        raise TypeError("Keys are not pickled.")

    def seal(self, plain: bytes, about: bytes) -> bytes:
        return self._aead.seal(plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        return self._aead.open(sealed, about)


class Kept:
    def __init__(self, queries: Queries, door_secret: Secret, clock: Clock) -> None:
        self._queries = queries
        self._key = DoorKey(door_secret, "kept")
        self._clock = clock

    async def keep(self, kind: str, body: Mapping[str, Any], life: timedelta) -> str:
        """The name to hand out: 256 random bits."""
        name, now = secrets.token_urlsafe(32), self._clock()
        digest = _digest(name)
        sealed = self._key.seal(json.dumps(body).encode(), digest)
        await self._queries.fetch(KEEP, digest, kind, sealed, now + life, now)
        return name

    async def see(self, kind: str, name: str) -> dict[str, Any] | None:
        return self._body(await self._queries.fetchrow(SEE, _digest(name), kind, self._clock()), name)

    async def take(self, kind: str, name: str) -> dict[str, Any] | None:
        """Once, whoever asks first."""
        return self._body(await self._queries.fetchrow(TAKE, _digest(name), kind, self._clock()), name)

    def _body(self, row: Any, name: str) -> dict[str, Any] | None:
        if row is None:
            return None
        try:
            return dict(json.loads(self._key.open(bytes(row["sealed"]), _digest(name))))
        except Forged:
            return None


class Challenges:
    """Challenges of sign-ins and enrolments (WebAuthn 3, 13.4.3): random, used once by whichever door, gone after 120 seconds."""

    def __init__(self, kept: Kept, clock: Clock) -> None:
        self._kept = kept
        self._clock = clock

    async def issue(self, purpose: challenge.Purpose, subject: str) -> challenge.Challenge:
        value = secrets.token_bytes(challenge.CHALLENGE_BYTES)
        body = {"purpose": str(purpose), "subject": subject, "value": value.hex()}
        flow = await self._kept.keep(CHALLENGE, body, challenge.CHALLENGE_LIFE)
        return self._made(flow, purpose, subject, value)

    async def take(self, flow: str, purpose: challenge.Purpose) -> challenge.Challenge:
        """The challenge of this flow, which is thereby used up, whatever the answer turns out to be."""
        body = await self._kept.take(CHALLENGE, flow)
        if body is None or body["purpose"] != purpose:
            raise Denied("This took too long, or was answered before.", hint="Start again.", reason="challenge-over")
        return self._made(flow, purpose, str(body["subject"]), bytes.fromhex(body["value"]))

    def _made(self, flow: str, purpose: challenge.Purpose, subject: str, value: bytes) -> challenge.Challenge:
        expires: datetime = self._clock() + challenge.CHALLENGE_LIFE
        return challenge.Challenge(flow=flow, purpose=purpose, subject=subject, value=value, expires=expires)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
