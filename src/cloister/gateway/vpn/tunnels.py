"""Tunnels as rows: told by the VPN's own part, shown to their people and to operators, ended by a word in a row. Schema `estate`.

The part that runs ocserv looks three times a second (watching.py), so an end that was asked for happens within a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cloister.base.clock import Clock, iso
from cloister.base.errors import Invalid, NotFound
from cloister.farm import Session
from cloister.gateway.vpn.issuing import Issuer
from cloister.gateway.vpn.watching import Tunnel

SEEN_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 20.0

SEEN: Final = "insert into estate.vpn (server) values ($1) on conflict (server) do update set seen = now()"
GONE: Final = "delete from estate.vpn where server = $1"
FORGET: Final = "delete from estate.tunnel where server = $1 and id <> all ($2)"
STAND: Final = """
    insert into estate.tunnel (server, id, person, role, address, origin)
    select $1, u.* from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[]) u
    on conflict (server, id) do update set address = excluded.address"""
ENDING: Final = "select id from estate.tunnel where server = $1 and ending order by id limit 10000"
SHOWN: Final = f"""
    select t.server, t.id, t.person, coalesce(p.sign_in, t.person) as sign_in, coalesce(p.name, '') as name, t.role, t.address, t.origin,
           t.since, t.ending
      from estate.tunnel t join estate.vpn v on v.server = t.server and v.seen > now() - interval '{SILENT_SECONDS} s'
           left join trust.person p on p.id = t.person
     where $1::text is null or t.person = $1 or p.sign_in = $1 order by t.since, t.server, t.id limit 5000"""
RUNNING: Final = "select max(seen) as seen from estate.vpn"
END: Final = """
    update estate.tunnel t set ending = true
     where ($1::text is null or t.server = $1 and t.id = $2)
       and ($3::text is null or t.person = $3 or t.person in (select id from trust.person where sign_in = $3)) returning t.id"""


class Queries(Protocol):
    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


class Told:
    """The side of the VPN's part: one server's rows are what stands there."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._known: tuple[tuple[int, str], ...] | None = None
        self._seen = 0.0

    async def tell(self, queries: Queries, tunnels: Sequence[Tunnel], *, now: float) -> frozenset[int]:
        """Rows as they are; the numbers of those that somebody wants ended. `now` in seconds of a steady clock."""
        if self._known is None or now - self._seen >= SEEN_SECONDS:
            await queries.fetch(SEEN, self._server)
            self._seen = now
        known = tuple((one.id, one.address) for one in tunnels)
        if known != self._known:
            await queries.fetch(FORGET, self._server, [one.id for one in tunnels])
            columns = zip(*((one.id, one.person, one.group, one.address, one.origin) for one in tunnels), strict=True)
            await queries.fetch(STAND, self._server, *(list(map(list, columns)) or [[]] * 5))
            self._known = known
        if not known:
            return frozenset()
        return frozenset(int(row["id"]) for row in await queries.fetch(ENDING, self._server))

    async def leave(self, queries: Queries) -> None:
        """This VPN stops, and its tunnels with it."""
        await queries.fetch(GONE, self._server)

    def forget(self) -> None:
        """After the database was away: all is told again."""
        self._known = None


class Tunnels:
    """The controller's side."""

    def __init__(self, queries: Queries, issuer: Issuer | None, audit: Any, clock: Clock) -> None:
        self._queries = queries
        self._issuer = issuer
        self._audit = audit
        self._clock = clock

    async def shown(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """For a session's own person: what their role has, whether the VPN runs, and their tunnels."""
        offered = self._issuer.offered(session.role, str(session.kind)) if self._issuer is not None else {"group": "", "server": ""}
        return {**offered, "running": await self._running(), "tunnels": await self._rows(session.person)}

    async def end_own(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """{server, id}: one of one's own."""
        entry = {"action": "vpn-end", "kind": "session", "actor": session.person, "session": session.id}
        await self._audit([{**entry, "object": f"tunnel/{_number(words)}"}])
        return await self._ended(str(words.get("server", "")), _number(words), session.person)

    async def listed(self, by: Any, words: Mapping[str, Any]) -> dict[str, Any]:
        """The operators' act `tunnels`: {running, tunnels}; `person` chooses."""
        return {"running": await self._running(), "tunnels": await self._rows(str(words["person"])[:200] if words.get("person") else None)}

    async def end(self, by: Any, words: Mapping[str, Any]) -> dict[str, Any]:
        """The operators' act `end_tunnel`: of a `person` all, or one by `server` and `id`. The person's sessions go on."""
        person = str(words["person"])[:200] if words.get("person") else None
        server = str(words.get("server", "")) or None
        if (person is None) == (server is None):
            raise Invalid("Say whose tunnel, or which.", hint="A person, or a server and a number.", reason="selector")
        what = f"person/{person}" if person is not None else f"tunnel/{server}/{_number(words)}"
        entry = {"action": "vpn-end", "kind": "estate", "actor": by.id, "session": by.session, "object": what[:200]}
        await self._audit([entry])
        return await self._ended(server, _number(words) if server is not None else 0, person)

    async def _ended(self, server: str | None, number: int, person: str | None) -> dict[str, Any]:
        found = await self._queries.fetch(END, server, number, person)
        if not found:
            raise NotFound("There is no such tunnel.", hint="It may have ended already.", reason="tunnel")
        return {"ending": len(found)}

    async def _running(self) -> bool:
        seen: datetime | None = (await self._queries.fetchrow(RUNNING))["seen"]
        return seen is not None and self._clock() - seen < timedelta(seconds=SILENT_SECONDS)

    async def _rows(self, person: str | None) -> list[dict[str, Any]]:
        return [{**dict(row), "since": iso(row["since"])} for row in await self._queries.fetch(SHOWN, person)]


def _number(words: Mapping[str, Any]) -> int:
    text = str(words.get("id", ""))
    if not text.isdecimal() or len(text) > 15:
        raise Invalid("This is no tunnel's number.", reason="tunnel")
    return int(text)
