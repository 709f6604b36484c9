"""Clients of the FHIR address as the door knows them: keys, scopes, addresses, pace. Schema `estate`; no key of a person.

Written by `cloister program` and `cloister app`, read here at every token. A program that nobody wrote anything about has
the defaults, so that it works as it always did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cloister.base.clock import Clock
from cloister.base.errors import Busy, Invalid

PER_SECOND: Final = 5_000
BURST: Final = 10_000
AT_ONCE: Final = 400
BULK_BYTES_A_DAY: Final = 200 * 1024**3
LEASE_SECONDS: Final = 0.5  # a session takes so much of its program's pace at a time
KEYS_MAX: Final = 8
REDIRECTS_MAX: Final = 20
ADDRESS_CHARACTERS_MAX: Final = 500

CLIENT: Final = """
    select id, kind, name, keys, secret_taken, secret_hash, scopes, redirects, launch, per_second, burst, at_once, bulk_bytes,
           bound
      from estate.client where id = $1"""
APPS: Final = """
    select id, kind, name, keys, secret_taken, secret_hash, scopes, redirects, launch, per_second, burst, at_once, bulk_bytes,
           bound
      from estate.client where kind = 'app' order by name, id limit 200"""
TAKE_ASSERTION: Final = "insert into estate.assertion (digest, until) values ($1, $2) on conflict do nothing returning digest"
FORGET_ASSERTIONS: Final = "delete from estate.assertion where until < $1"
REFUSED: Final = """
    insert into estate.client_use (client, day, refused) values ($1, $2, $3)
    on conflict (client, day) do update set refused = estate.client_use.refused + excluded.refused"""
BULK_LEFT: Final = """
    select coalesce(c.bulk_bytes, $3) - coalesce(u.bulk_bytes, 0) as left
      from trust.person p
      left join estate.client c on c.id = p.sign_in
      left join estate.client_use u on u.client = p.id and u.day = $2
     where p.id = $1"""
BULK: Final = """
    insert into estate.client_use (client, day, bulk_bytes) values ($1, $2, $3)
    on conflict (client, day) do update set bulk_bytes = estate.client_use.bulk_bytes + excluded.bulk_bytes"""


PACE_BEGUN: Final = """
    insert into estate.client_pace (client, left_now, at)
    select p.id, coalesce(c.burst, $2), clock_timestamp() from trust.person p left join estate.client c on c.id = p.sign_in where p.id = $1
    on conflict do nothing returning client"""
# Takes what LEASE_SECONDS are worth, as far as it is there. `share`: how many requests each open session may have under way.
PACE_TAKEN: Final = """
    with pace as (
        select p.id, coalesce(c.per_second, $2) as per_second, coalesce(c.burst, $3) as burst, coalesce(c.at_once, $4) as at_once,
               greatest(1, (select count(*) from estate.session s where s.person = p.id and s.kind = 'program' and s.state = 'active')) as n
          from trust.person p left join estate.client c on c.id = p.sign_in where p.id = $1),
    seen as (
        select q.client, clock_timestamp() as at, least(pace.burst, q.left_now + pace.per_second *
               greatest(0, extract(epoch from clock_timestamp() - q.at)))::double precision as filled
          from estate.client_pace q, pace where q.client = pace.id for update of q)
    update estate.client_pace q
       set left_now = seen.filled - least(floor(seen.filled), greatest(1, ceil(pace.per_second * $5::double precision))), at = seen.at
      from seen, pace where q.client = seen.client
    returning seen.filled, least(floor(seen.filled), greatest(1, ceil(pace.per_second * $5::double precision)))::int as taken,
              pace.per_second, ceil(pace.at_once::numeric / pace.n)::int as share"""


class Queries(Protocol):
    """A pool of connections under the controller's role."""

    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `scopes` empty: no more narrowing than its grants."""

    id: str
    kind: str = "program"
    name: str = ""
    keys: tuple[dict[str, Any], ...] = ()
    secret_taken: bool = True
    secret_hash: bytes | None = field(default=None, repr=False)
    scopes: str = ""
    redirects: tuple[str, ...] = ()
    launch: str = ""
    per_second: int = PER_SECOND
    burst: int = BURST
    at_once: int = AT_ONCE
    bulk_bytes: int = BULK_BYTES_A_DAY
    bound: bool = False  # no token but one that is bound to a key (RFC 9449 5.2, dpop_bound_access_tokens)

    @property
    def pace(self) -> str:
        """For the ticket: requests a second, burst, at once."""
        return f"{self.per_second}/{self.burst}/{self.at_once}"

    @property
    def origins(self) -> frozenset[str]:
        """The origins (RFC 6454) that an app's pages come from: those of its redirect URIs."""
        return frozenset(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, self.redirects))


def client_of(row: Any) -> Client:
    limits = {name: row[name] for name in ("per_second", "burst", "at_once", "bulk_bytes") if row[name] is not None}
    return Client(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        keys=tuple(_list(row["keys"])),
        secret_taken=row["secret_taken"],
        secret_hash=row["secret_hash"],
        scopes=row["scopes"],
        redirects=tuple(_list(row["redirects"])),
        launch=row["launch"],
        bound=row["bound"],
        **limits,
    )


def _list(value: Any) -> list[Any]:
    return list(json.loads(value) if isinstance(value, str) else value)


async def program(queries: Queries, id: str) -> Client:
    """What is written about a program, or the defaults."""
    row = await queries.fetchrow(CLIENT, id)
    return client_of(row) if row is not None and row["kind"] == "program" else Client(id=id)


async def app(queries: Queries, id: str) -> Client | None:
    row = await queries.fetchrow(CLIENT, id[:128])
    return client_of(row) if row is not None and row["kind"] == "app" else None


async def apps(queries: Queries) -> list[Client]:
    return [client_of(row) for row in await queries.fetch(APPS)]


async def take_assertion(queries: Queries, digest: bytes, until: datetime, *, now: datetime) -> bool:
    """Whether this assertion was not taken before. Asked of the database, so that several doors take it once together."""
    await queries.fetch(FORGET_ASSERTIONS, now)
    return bool(await queries.fetch(TAKE_ASSERTION, digest, until))


class Uses:
    """What programs used today (UTC), by person id. Sessions tell it of themselves; which session, the kernel says."""

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def pace(self, person: str) -> dict[str, Any]:
        """Some requests for one of a program's sessions, out of what all of them may have: {taken, per_second, share, wait_seconds}."""
        usual = (PER_SECOND, BURST, AT_ONCE, LEASE_SECONDS)
        row = await self._queries.fetchrow(PACE_TAKEN, person, *usual)
        if row is None:
            await self._queries.fetch(PACE_BEGUN, person, BURST)
            row = await self._queries.fetchrow(PACE_TAKEN, person, *usual)
        if row is None:
            raise Invalid("This is no program.", reason="program")
        found = {name: int(row[name]) for name in ("taken", "per_second", "share")}
        return {**found, "wait_seconds": 0.0 if found["taken"] else (1 - float(row["filled"])) / found["per_second"]}

    async def answer(self, person: str, words: Mapping[str, Any]) -> dict[str, Any]:
        """Counts; Busy when so many bytes of bulk data are more than what is left of the day."""
        refused, size = int(words["refused"]), int(words["bulk_bytes"])
        if not 0 <= refused < 2**31 or not 0 <= size < 2**40:
            raise Invalid("This is no count.", reason="count")
        now = self._clock()
        if refused:
            await self._queries.fetch(REFUSED, person, now.date(), refused)
        if size:
            row = await self._queries.fetchrow(BULK_LEFT, person, now.date(), BULK_BYTES_A_DAY)
            if row is None or row["left"] < size:
                until = seconds_to_midnight(now)
                hint = "Go on tomorrow (UTC), or ask an operator: cloister program limit."
                raise Busy("This program's bulk data of today is used up.", hint=hint, reason="bulk-quota", expression=str(until))
            await self._queries.fetch(BULK, person, now.date(), size)
        return {}


def seconds_to_midnight(now: datetime) -> int:
    return 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)


# --- what may be registered -------------------------------------------------------------------------------------------


def checked_redirect(address: str) -> str:
    """A redirect URI (RFC 6749 3.1.2): https, or http on the loopback for development; no fragment, no user."""
    parts = urlsplit(address)
    loopback = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
    if not (parts.scheme == "https" or loopback) or not parts.hostname or parts.fragment or parts.username or "*" in address:
        raise Invalid(f"This is no address to come back to: {address[:80]}.", hint="Give https://host/path, without '#', '*' or a user.")
    if len(address) > ADDRESS_CHARACTERS_MAX or not address.isascii() or any(letter.isspace() for letter in address):
        raise Invalid(
            "This address is too long, or holds letters that it may not.", hint=f"At most {ADDRESS_CHARACTERS_MAX} ASCII letters."
        )
    return address


def checked_keys(document: Any) -> list[dict[str, Any]]:
    """The public keys of a JWK set, or of one JWK; raises Invalid for a private one and for kinds that are not taken."""
    keys = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= KEYS_MAX or not all(isinstance(one, dict) for one in keys):
        raise Invalid("This is no set of keys.", hint=f"Give a JWK set (RFC 7517) with 1 to {KEYS_MAX} public keys.")
    for one in keys:
        if "d" in one or "k" in one:
            raise Invalid("This set holds a private key.", hint="Register the public half; and make a new key, this one has been shown.")
        if not ((one.get("kty") == "RSA" and "n" in one) or (one.get("kty") == "EC" and one.get("crv") == "P-384")):
            raise Invalid("A key is of no kind that is taken.", hint="Use RSA for RS384, or EC with P-384 for ES384.")
    return [{name: str(one[name]) for name in ("kty", "crv", "n", "e", "x", "y", "kid") if name in one} for one in keys]
