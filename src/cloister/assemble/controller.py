"""The controller's process: the broker on its wire, and the door on its HTTP socket."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.assemble.edge import ACCOUNT as EDGE_ACCOUNT
from cloister.assemble.folders import seed_file
from cloister.assemble.gate import service_token
from cloister.assemble.listening import bound_socket
from cloister.assemble.postgres import ACCOUNT as DATABASE_ACCOUNT
from cloister.assemble.postgres import ESTATE, where
from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.database import LOST, open_pool
from cloister.base.errors import Unavailable
from cloister.base.preload import forbid_late_imports
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.base.telemetry import log
from cloister.farm import Broker, EstateStore, Tickets
from cloister.gateway import Door, Limits, Published, StaticFile, clients, door_application, serve_application
from cloister.identity import passkey

ACCOUNT: Final = "cloister-ctl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the controller holds in memory, read while still root."""

    database: dict[str, Any]
    ticket_seed: Secret
    door_secret: Secret
    agent_token: str
    controller_token: str
    files: dict[str, StaticFile]
    published: dict[str, Published]
    render: Callable[..., str]


def _held(settings: Settings) -> Held:
    from cloister.assemble.pages import published, sign_in_pages, static_files

    return Held(
        database=where(settings, ESTATE).arguments(),
        ticket_seed=seed_file(settings, "ticket.key"),
        door_secret=seed_file(settings, "door.key"),
        agent_token=service_token(settings, "agent"),
        controller_token=service_token(settings, "controller"),
        files=static_files(),
        published=published(settings),
        render=sign_in_pages().render,
    )


def run_controller(settings: Settings) -> None:
    account, database, edge = system_account(ACCOUNT), system_account(DATABASE_ACCOUNT), system_account(EDGE_ACCOUNT)
    held = _held(settings)
    # The door answers Envoy only, the broker the agent only.
    door_listener = bound_socket(settings.socket("door"), uid=account.uid, gid=edge.gid, mode=0o660)
    broker_listener = bound_socket(settings.socket("controller"), uid=account.uid, gid=account.gid, mode=0o600)
    drop_to(account, groups=(database.gid,))
    forbid_late_imports()
    die_with_parent(signal.SIGTERM)

    async def serve() -> None:
        pool = await open_pool(held.database)
        broker = _broker(settings, held, pool)
        door = _door(settings, held, pool, broker)
        await wire.serve(broker_listener, broker.answer)
        await serve_application(door_application(door), door_listener)
        log("controller.ready")
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    asyncio.run(serve())


def _tickets(held: Held) -> Tickets:
    return Tickets(held.ticket_seed, clock=system_clock)


@dataclass(frozen=True, slots=True)
class People:
    """The door's questions about people; raises Unavailable while the database is away."""

    pool: Any

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._asked(self.pool.fetch, query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._asked(self.pool.fetchrow, query, *args)

    async def _asked(self, ask: Callable[..., Any], query: str, *args: Any) -> Any:
        try:
            return await ask(query, *args)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost


def _broker(settings: Settings, held: Held, pool: Any) -> Broker:
    agent = wire.Caller(settings.socket("agent"), part="agent")
    uses = clients.Uses(People(pool), system_clock)
    return Broker(
        store=EstateStore(pool),
        tickets=_tickets(held),
        agents=lambda server: agent,
        destination=lambda server, slot: str(settings.slot(slot)),
        agent_token=Secret(held.agent_token.encode()),
        clock=system_clock,
        further={"client_used": lambda session, words: uses.answer(session.person, words)},
    )


def _door(settings: Settings, held: Held, pool: Any, broker: Broker) -> Door:
    gate = wire.Caller(settings.socket("gate"), part="store gate")

    async def audit(entries: Sequence[dict[str, str]]) -> None:
        await gate.call("audit_append", token=held.controller_token, entries=list(entries))

    return Door(
        base_url=settings.base_url,
        people=People(pool),
        broker=broker,
        tickets=_tickets(held),
        limits=Limits(pool, system_clock),
        party=passkey.RelyingParty(id=settings.host, name="Cloister", origins=(settings.base_url,)),
        secret=held.door_secret,
        audit=audit,
        render=held.render,
        files=held.files,
        published=held.published,
        clock=system_clock,
    )
