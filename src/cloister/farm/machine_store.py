"""The estate's machines in PostgreSQL: tokens, certificates, controllers and lines. For the controller's role or the owner.

A token is used in one statement, so two machines that come with the same one at once cannot both have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from cloister.base.errors import Conflict
from cloister.farm.machines import Kept, Kind, Shown

CONTROLLER_SILENT_SECONDS: Final = 5.0
OWN_SILENT_SECONDS: Final = 2.0  # of a controller on the very machine that does not answer: two beats, and it vouches for it no more

ADD_TOKEN: Final = "insert into estate.join_token (id, hash, kind, expires) values ($1, $2, $3, $4)"
TOKEN: Final = "select hash, kind, expires, used, used_by, used_key from estate.join_token where id = $1"
USE_TOKEN: Final = """
    update estate.join_token set used = $4, used_by = $5, used_key = $3
     where id = $1 and hash = $2 and (used is null or used_key = $3) and expires > $4 returning id"""
OLD_TOKENS: Final = "select id, used_by is not null as used from estate.join_token where expires < $1 order by id limit 1000"
FORGET_TOKENS: Final = "delete from estate.join_token where expires < $1"
MACHINE: Final = "select id, kind, key, token, address, port, joined, removed from estate.machine where id = $1"
MACHINES: Final = """
    select m.id, m.kind, m.address, m.port, m.joined, m.removed,
           (select max(c.ends) from estate.machine_certificate c where c.machine = m.id and c.revoked is null) as ends,
           (select count(*) from estate.line l join estate.controller c on c.id = l.controller
             where l.server = m.id and c.seen > now() - make_interval(secs => 5)) as lines,
           s.state, s.seen, (select count(*) from estate.session x where x.server = m.id and x.state <> 'ended') as sessions
      from estate.machine m left join estate.server s on s.id = m.id order by m.id limit 2000"""
PLACES: Final = "select id, kind, address, port from estate.machine where removed is null order by id limit 2000"
PUT_MACHINE: Final = """
    insert into estate.machine (id, kind, key, token, address, port) values ($1, $2, $3, $4, $5, $6)
    on conflict (id) do update set kind = excluded.kind, key = excluded.key, token = excluded.token, address = excluded.address,
        port = excluded.port, joined = now(), removed = null"""
SET_PLACE: Final = "update estate.machine set address = $2, port = $3 where id = $1 and (address, port) <> ($2, $3) returning id"
REMOVE_MACHINE: Final = "update estate.machine set removed = now() where id = $1 and removed is null returning token"
ADD_CERTIFICATE: Final = """
    insert into estate.machine_certificate (serial, machine, ends) values ($1, $2, $3) on conflict (serial) do nothing"""
# At most two of a machine stand at once: the one with which it asked, and the one that it got.
REVOKE_OTHERS: Final = """
    update estate.machine_certificate set revoked = now() where machine = $1 and revoked is null and serial <> all ($2::text[])"""
STANDING: Final = """
    select m.kind, m.removed, m.key, c.revoked from estate.machine m
      left join estate.machine_certificate c on c.machine = m.id and c.serial = $2 where m.id = $1"""
REVOKED: Final = """
    select c.serial from estate.machine_certificate c join estate.machine m on m.id = c.machine
     where (c.revoked is not null or m.removed is not null) and c.ends > now() order by c.serial limit 20000"""
FORGET_CERTIFICATES: Final = "delete from estate.machine_certificate where ends < now() - interval '7 days'"
BEAT: Final = """
    insert into estate.controller (id, keeper, seen) values ($1, $2, now())
    on conflict (id) do update set keeper = excluded.keeper, seen = excluded.seen"""
CONTROLLERS: Final = """
    select c.id, m.address, m.port, c.keeper, c.seen from estate.controller c join estate.machine m on m.id = c.id
     where m.removed is null order by c.keeper desc, c.id limit 100"""
ADD_LINE: Final = "insert into estate.line (server, controller) values ($1, $2) on conflict do nothing"
DROP_LINE: Final = "delete from estate.line where server = $1 and controller = $2"
DROP_LINES: Final = "delete from estate.line where controller = $1"
# Controllers that live and have a line to the server. The one on its own machine, which does not answer, vouches for it the shortest.
_HEARD: Final = """
            select from estate.line l join estate.controller c on c.id = l.controller
             where l.server = $1 and c.seen > now() - make_interval(secs => case when c.id = $1 then $3::float8 else $2::float8 end)"""
# Ends a server's sessions, unless a controller that lives has a line to it. Brokers take it for silent at once (placement.py).
LOSE: Final = f"""
    with gone as (
        select $1::text as id where not exists ({_HEARD})),
    silent as (update estate.server set seen = least(seen, now() - interval '21 seconds') where id in (select id from gone))
    update estate.session set state = 'ended', why = 'server-lost', changed = now()
     where server in (select id from gone) and state <> 'ended' returning id"""
# Sessions that nobody ended: what their people had not saved is gone with them, which is at most the field they were in.
LOST: Final = """
    select s.id, coalesce(p.sign_in, s.person) as who, s.server, s.why, s.changed
      from estate.session s left join trust.person p on p.id = s.person
     where s.state = 'ended' and s.why in ('server-lost', 'lost', 'died', 'silent', 'not-ready')
       and s.changed > now() - make_interval(hours => $1) order by s.changed desc limit 5000"""
HAS_LINE: Final = f"select exists ({_HEARD}) as yes"


class Queries(Protocol):
    """A pool or a connection; raises Unavailable or the driver's error while the database is away."""

    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


class MachineStore:
    def __init__(self, database: Queries) -> None:
        self._database = database

    async def add_token(self, id: str, hash: bytes, kind: Kind, expires: datetime) -> None:
        await self._database.fetch(ADD_TOKEN, id, hash, kind, expires)

    async def token(self, id: str) -> Kept | None:
        row = await self._database.fetchrow(TOKEN, id)
        if row is None:
            return None
        return Kept(
            hash=bytes(row["hash"]), kind=Kind(row["kind"]), expires=row["expires"], used=row["used"],
            used_by=row["used_by"] or "", used_key=bytes(row["used_key"] or b""),
        )  # fmt: skip

    async def use_token(self, id: str, hash: bytes, key: bytes, name: str, *, now: datetime) -> None:
        """Conflict when another machine was faster."""
        if not await self._database.fetch(USE_TOKEN, id, hash, key, now, name):
            raise Conflict("Another machine used this token.", hint="Make a new one: cloister server token", reason="join-token-used")

    async def machine(self, id: str) -> dict[str, Any] | None:
        row = await self._database.fetchrow(MACHINE, id)
        return {**dict(row), "key": bytes(row["key"])} if row is not None else None

    async def machines(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._database.fetch(MACHINES)]

    async def places(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._database.fetch(PLACES)]

    async def put_machine(self, id: str, kind: Kind, key: bytes, token: str, address: str, port: int) -> None:
        await self._database.fetch(PUT_MACHINE, id, kind, key, token, address, port)

    async def set_place(self, id: str, address: str, port: int) -> bool:
        return bool(await self._database.fetch(SET_PLACE, id, address, port))

    async def remove(self, id: str) -> str | None:
        """The token that it joined with; None when there is no such machine."""
        row = await self._database.fetchrow(REMOVE_MACHINE, id)
        return str(row["token"]) if row is not None else None

    async def add_certificate(self, serial: str, machine: str, ends: datetime, *, beside: Sequence[str] = ()) -> None:
        """A machine's new certificate; all its others but those `beside` are refused from now on."""
        await self._database.fetch(ADD_CERTIFICATE, serial, machine, ends)
        await self._database.fetch(REVOKE_OTHERS, machine, [serial, *beside])

    async def standing(self, seen: Shown) -> dict[str, object] | None:
        row = await self._database.fetchrow(STANDING, seen.machine, seen.serial)
        return {**dict(row), "key": bytes(row["key"])} if row is not None else None

    async def revoked(self) -> list[str]:
        return [str(row[0]) for row in await self._database.fetch(REVOKED)]

    async def beat(self, controller: str, *, keeper: bool) -> None:
        """By the database's clock, so that controllers' own need not agree to the second."""
        await self._database.fetch(BEAT, controller, keeper)

    async def controllers(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._database.fetch(CONTROLLERS)]

    async def add_line(self, server: str, controller: str) -> None:
        await self._database.fetch(ADD_LINE, server, controller)

    async def drop_line(self, server: str, controller: str) -> None:
        await self._database.fetch(DROP_LINE, server, controller)

    async def drop_lines(self, controller: str) -> None:
        await self._database.fetch(DROP_LINES, controller)

    async def lose(self, server: str) -> list[str] | None:
        """Its sessions, now ended; None when another controller hears the server."""
        whose = (server, CONTROLLER_SILENT_SECONDS, OWN_SILENT_SECONDS)
        row = await self._database.fetchrow(HAS_LINE, *whose)
        if row["yes"]:
            return None
        return [str(row[0]) for row in await self._database.fetch(LOSE, *whose)]
