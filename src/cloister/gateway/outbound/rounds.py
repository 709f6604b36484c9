"""The delivery process's work: take what is due, send it, write down what became of it. docs/subscriptions.md.

An attempt is counted before it is made: after a crash the same events are sent again, and the receiver is told that it is
not the first time. Events that come meanwhile wait for the next notification; so there is never more than one on its way.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from cloister.base.database import LOST
from cloister.base.telemetry import log
from cloister.gateway.outbound.addresses import Host, Refused
from cloister.gateway.outbound.posting import post
from cloister.zones import Forged, algorithms, channels

CHANNEL: Final = "cloister_outbound"
LOOK_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0
AT_ONCE: Final = 16
BACK_OFF_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 7200, 14_400, 28_800)  # the last one again and again

TAKE: Final = f"""
    update outbound.channel c set tries = c.tries + 1, trying = case when c.tries = 0 then c.events else c.trying end,
           due = now() + interval '60 seconds'
     where (c.dossier, c.id) in (select d.dossier, d.id from outbound.channel d where d.state = 'waiting' and d.due <= now()
                                  order by d.due limit {AT_ONCE} for update skip locked)
    returning c.dossier, c.id, c.owner, c.sealed, c.sent, c.trying, c.tries, c.expires < now() as ended"""
SENT: Final = """
    update outbound.channel set sent = $3, tries = 0, error = '', state = case when state = 'waiting' and events > $3 then 'waiting'
           when state = 'waiting' then 'idle' else state end, due = now(), since = now()
     where dossier = $1 and id = $2"""
FAILED: Final = """
    update outbound.channel set error = $3, due = now() + make_interval(secs => $4),
           state = case when state = 'waiting' and $5 then 'dead' else state end
     where dossier = $1 and id = $2"""
OVER: Final = "update outbound.channel set state = 'off', sent = events where dossier = $1 and id = $2"
HOST: Final = "select networks, authority from outbound.host where host = $1 and port = $2"
NEXT_DUE: Final = "select extract(epoch from min(due) - now())::float8 from outbound.channel where state = 'waiting'"


class Rounds:
    def __init__(
        self, arguments: Mapping[str, Any], key: algorithms.KemPrivate, *, tries_max: int, back_off: Sequence[float] = BACK_OFF_SECONDS
    ) -> None:
        self._arguments = arguments
        self._key = key
        self._tries_max = tries_max
        self._back_off = back_off
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; a stopped database is waited for."""
        while True:
            try:
                connection = await asyncpg.connect(command_timeout=30, **self._arguments)
                try:
                    await connection.add_listener(CHANNEL, lambda *_: self._news.set())
                    while not connection.is_closed():
                        self._news.clear()
                        if not await self.round(connection):
                            await self._wait(connection)
                finally:
                    connection.terminate()
            except (*LOST, TimeoutError, asyncpg.PostgresError) as lost:
                log("outbound.no_database", level="warning", kind=type(lost).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wait(self, connection: asyncpg.Connection[Any]) -> None:
        due = await connection.fetchval(NEXT_DUE)
        try:
            async with asyncio.timeout(max(0.05, min(LOOK_SECONDS, LOOK_SECONDS if due is None else due))):
                await self._news.wait()
        except TimeoutError:
            return

    async def round(self, connection: asyncpg.Connection[Any]) -> int:
        """Everything that is due, several at once; how many attempts were made."""
        rows = await connection.fetch(TAKE)
        hosts: dict[bytes, Any] = {}
        for row in rows:
            hosts[row["id"].bytes] = await self._opened(connection, row)
        outcomes = await asyncio.gather(*(self._attempt(row, hosts[row["id"].bytes]) for row in rows))
        for row, failed in zip(rows, outcomes, strict=True):
            await self._write_down(connection, row, failed)
        return len(rows)

    async def _opened(self, connection: asyncpg.Connection[Any], row: Any) -> Any:
        """(channel, headers, host), or the Refused that says why nothing is sent."""
        try:
            channel, headers = channels.open_channel(self._key, row["dossier"].bytes + row["id"].bytes, bytes(row["sealed"]))
        except Forged:
            return Refused("The subscription's address or headers do not open here; write them again.")
        parts = urlsplit(channel.endpoint)
        name, port = (parts.hostname or "").lower(), parts.port or 443
        found = await connection.fetchrow(HOST, name, port)
        if parts.scheme != "https" or found is None or channel.owner != row["owner"]:
            return Refused(f"The operator does not allow {name}:{port}.")
        networks = tuple(ipaddress.ip_network(text) for text in found["networks"])
        return channel, headers, Host(host=name, port=port, networks=networks, authority=found["authority"])

    async def _attempt(self, row: Any, opened: Any) -> Refused | None:
        """None when it was taken."""
        if row["ended"]:
            return None
        if isinstance(opened, Refused):
            return opened
        channel, headers, host = opened
        said = [
            ("Host", host.host if host.port == 443 else f"{host.host}:{host.port}"),
            ("User-Agent", "cloister"),
            ("Cloister-Subscription", f"Subscription/{channel.subscription}"),
            ("Cloister-Events", f"{row['sent'] + 1}-{row['trying']}"),
            ("Cloister-Attempt", str(row["tries"])),
            ("Idempotency-Key", f'"{channel.subscription}-{row["trying"]}"'),
        ]
        try:
            await post(channel.endpoint, host, [*said, *headers])
        except Refused as refused:
            return refused
        return None

    async def _write_down(self, connection: asyncpg.Connection[Any], row: Any, failed: Refused | None) -> None:
        place = (row["dossier"], row["id"])
        if row["ended"]:
            await connection.execute(OVER, *place)
        elif failed is None:
            await connection.execute(SENT, *place, row["trying"])
        else:
            dead = failed.gone or row["tries"] >= self._tries_max
            await connection.execute(FAILED, *place, failed.text[:500], float(self._pause_after(row["tries"])), dead)
            log("outbound.failed", level="warning", subscription=str(row["id"]), tries=row["tries"], dead=dead, text=failed.text)

    def _pause_after(self, tries: int) -> float:
        """Seconds until the next attempt."""
        return self._back_off[min(tries, len(self._back_off)) - 1]
