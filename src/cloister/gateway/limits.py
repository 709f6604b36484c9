"""Limits of sign-ins: a delay that grows with failures, per person and per address; never a lock-out for good.

NIST SP 800-63B 5.2.2. A few failures are free, then the wait doubles up to a quarter of an hour. A name that
nobody has is counted like any other. Passkeys are exempt from the person's delay: they cannot be guessed, and
a stranger who types a colleague's name again and again must not keep that colleague out. After a hundred failures in a row
what can be guessed is no longer taken for that name at all (800-63B-4 3.2.2), until a passkey or card has proved the person, or an
operator has said so (`cloister sign-in unlock`). Addresses of IPv6 count by their /64, which is one customer.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from cloister.base.clock import Clock
from cloister.base.database import LOST
from cloister.base.errors import Busy, Unavailable

STARTS_PER_MINUTE_MAX: Final = 6000  # from one address: a whole hospital may stand behind one
ADDRESSES_MAX: Final = 50_000


LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Counted(StrEnum):
    """What failures are counted for."""

    PERSON = "person"
    ADDRESS = "address"


FREE_FAILURES: Final = {Counted.PERSON: 5, Counted.ADDRESS: 100}
# Short for an address, because whoever fails there makes all who share it wait.
DELAY_MAX: Final = {Counted.PERSON: timedelta(minutes=15), Counted.ADDRESS: timedelta(seconds=30)}
FORGOTTEN_AFTER: Final = {Counted.PERSON: timedelta(hours=12), Counted.ADDRESS: timedelta(hours=1)}

FAILURES_MAX: Final = 100  # in a row, of what can be guessed
FAILURES: Final = "select key, failures, last from estate.attempt where key = any ($1) limit 2"
FAILED: Final = """
    insert into estate.attempt (key, failures, last) values ($1, 1, $2)
    on conflict (key) do update set failures = case when estate.attempt.last < $3 then 1 else estate.attempt.failures + 1 end, last = $2"""
# Time alone does not take failures in a row away; what was a slip of the hand is tidied up.
SUCCEEDED: Final = """
    delete from estate.attempt
     where key = $1 or (last < $2 and failures < 10) or last < $2::timestamptz - interval '400 days'"""


def delay(counted: Counted, failures: int) -> timedelta:
    """How long to wait after the last of this many failures."""
    over = failures - FREE_FAILURES[counted]
    if over < 0:
        return timedelta(0)
    return min(DELAY_MAX[counted], timedelta(seconds=2 ** min(over + 1, 12)))


def remaining(counted: Counted, failures: int, last: datetime, *, now: datetime) -> timedelta:
    if now - last >= FORGOTTEN_AFTER[counted]:
        return timedelta(0)
    return max(timedelta(0), last + delay(counted, failures) - now)


def key_of(counted: Counted, name: str) -> bytes:
    if counted is Counted.ADDRESS:
        name = prefix_of(name)
    return hashlib.sha256(f"cloister/attempt/v1|{counted}|{name}".encode()).digest()


def prefix_of(address: str) -> str:
    """An address of IPv4, or the /64 of an address of IPv6 (RFC 4291 2.5.4); text that is none stays itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


class Queries(Protocol):
    """A connection or a pool of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> Any: ...


@dataclass(slots=True)
class Window:
    """Sign-ins begun from one address in the current minute."""

    minute: int
    begun: int


class Limits:
    """Counts in the database, so that several doors share them and a restart keeps them."""

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._begun: dict[str, Window] = {}
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, sign_in: str) -> AsyncIterator[None]:
        """One proof at a time for a name: of many at once, all would pass the check before the first failure was counted."""
        lock, users = self._turns.get(sign_in, (asyncio.Lock(), 0))
        self._turns[sign_in] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(sign_in)
            if users > 1:
                self._turns[sign_in] = (lock, users - 1)

    def begin(self, address: str) -> None:
        """Count a sign-in that begins; raises Busy when one address begins too many."""
        minute = int(self._clock().timestamp()) // 60
        window = self._begun.get(address)
        if window is None or window.minute != minute:
            if len(self._begun) >= ADDRESSES_MAX:
                self._begun = {name: kept for name, kept in self._begun.items() if kept.minute == minute}
            window = self._begun[address] = Window(minute, 0)
        window.begun += 1
        if window.begun > STARTS_PER_MINUTE_MAX:
            raise too_many(60)

    async def check(self, address: str, sign_in: str | None) -> None:
        """Raises Busy, with the seconds to wait, when the address or the person has failed too often lately."""
        names = {key_of(Counted.ADDRESS, address): Counted.ADDRESS}
        if sign_in is not None:
            names[key_of(Counted.PERSON, sign_in)] = Counted.PERSON
        now = self._clock()
        rows = await self._fetch(FAILURES, list(names))
        if any(names[bytes(row["key"])] is Counted.PERSON and row["failures"] >= FAILURES_MAX for row in rows):
            raise exhausted()
        waits = [remaining(names[bytes(row["key"])], row["failures"], row["last"], now=now) for row in rows]
        longest = max(waits, default=timedelta(0))
        if longest > timedelta(0):
            raise too_many(int(longest.total_seconds()) + 1)

    async def failed(self, address: str, sign_in: str) -> None:
        now = self._clock()
        for counted, name, since in (
            (Counted.ADDRESS, address, now - FORGOTTEN_AFTER[Counted.ADDRESS]),
            (Counted.PERSON, sign_in, LONG_AGO),
        ):
            await self._fetch(FAILED, key_of(counted, name), now, since)

    async def succeeded(self, sign_in: str) -> None:
        """The person's count starts anew; the address's does not, or one account of one's own would clear it."""
        await self._fetch(SUCCEEDED, key_of(Counted.PERSON, sign_in), self._clock() - max(FORGOTTEN_AFTER.values()))

    async def _fetch(self, sql: str, *arguments: object) -> Any:
        try:
            return await self._queries.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost


def exhausted() -> Busy:
    """The same for a name that nobody has."""
    return Busy(
        "Too many sign-ins of this name failed in a row.",
        hint="Use a passkey or your card, or ask IT.",
        reason="sign-in-exhausted",
    )


def too_many(seconds: int) -> Busy:
    """`expression` carries the seconds for Retry-After."""
    return Busy(
        "Too many sign-ins failed here.",
        hint=f"Wait {seconds} seconds and try again.",
        reason="sign-in-limit",
        expression=str(seconds),
    )
