"""The controller's process: the broker on its wire, and the door on its HTTP socket."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import signal
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from cloister.assemble import accounts, canary, vpn
from cloister.assemble.estate import EstateHeld, held_of_estate, lines_of, serve_machines
from cloister.assemble.folders import seed_file, service_token, write_once
from cloister.assemble.listening import bound_socket
from cloister.assemble.postgres import ESTATE, where
from cloister.assemble.roots import pinned_roots
from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.database import LOST, open_pool
from cloister.base.errors import CloisterError, Denied, Unavailable
from cloister.base.preload import forbid_late_imports
from cloister.base.process import collect_seldom, die_with_parent, drop_to, keep_for_good, system_account
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.base.telemetry import log
from cloister.farm import (
    AgentCalls,
    Broker,
    EstateStore,
    LocalCache,
    Offers,
    Tickets,
    came_by,
    explaining,
    group_acts,
    lines,
    lost,
    operations,
    prelaunch,
)
from cloister.farm import canary as farm_canary
from cloister.gateway import Door, Limits, Published, StaticFile, clients, door_application, serve_application, sign_ins
from cloister.identity import passkey
from cloister.zones import TrustRoots

if TYPE_CHECKING:  # only the controller's own process loads what switches machines
    from cloister.farm.upkeep import FarmUpkeep

CHANNEL: Final = "cloister_trust"
PROBE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the controller holds in memory, read while still root."""

    database: dict[str, Any]
    roots: TrustRoots
    identity_keys: Secret
    ticket_seed: Secret
    door_secret: Secret
    agent_token: str
    controller_token: str
    machines: Mapping[str, Any]  # how servers are switched: farm/power/machines_file.py
    files: dict[str, StaticFile]
    published: dict[str, Published]
    render: Callable[..., str]
    tls: ssl.SSLContext  # whom the canary believes to be the gateway
    vpn: vpn.Held | None = None
    estate: EstateHeld | None = None  # where there are several machines


def _identity_keys(settings: Settings) -> Secret:
    path = settings.secrets_folder / "openid.json"
    if not path.exists():
        write_once(path, sign_ins.new_keys())
    return Secret(path.read_bytes())


def _held(settings: Settings) -> Held:
    from cloister.assemble.pages import published, sign_in_pages, static_files
    from cloister.farm.upkeep import read_machines

    return Held(
        database=where(settings, ESTATE).arguments(),
        roots=pinned_roots(settings),
        identity_keys=_identity_keys(settings),
        ticket_seed=seed_file(settings, "ticket.key"),
        door_secret=seed_file(settings, "door.key"),
        agent_token=service_token(settings, "agent"),
        controller_token=service_token(settings, "controller"),
        machines=read_machines(settings.secrets_folder / "machines.json"),
        files=static_files(),
        published=published(settings),
        render=sign_in_pages().render,
        estate=held_of_estate(settings) if settings.farm_address else None,
        vpn=vpn.held(settings),
        tls=canary.trusting(settings),
    )


def run_controller(settings: Settings) -> None:
    account, database, edge = system_account(accounts.CONTROLLER), system_account(accounts.DATABASE), accounts.sessions_account(settings)
    held = _held(settings)
    # The door answers Envoy only, the broker the agent only.
    door_listener = bound_socket(settings.socket("door"), uid=account.uid, gid=edge.gid, mode=0o660)
    broker_listener = bound_socket(settings.socket("controller"), uid=account.uid, gid=account.gid, mode=0o600)
    drop_to(account, groups=(database.gid,))
    forbid_late_imports()
    collect_seldom()
    die_with_parent(signal.SIGTERM)

    async def serve() -> None:
        pool = await open_pool(held.database)
        reach = _reach(settings, held, pool, lambda *said: broker.answer_of(*said))
        broker, acts, upkeep = _broker(settings, held, pool, reach)
        door = _door(settings, held, pool, broker)
        await door.rules.refresh()
        await wire.serve(broker_listener, operated(broker, acts, held.controller_token))
        if reach.lines is not None and held.estate is not None:
            machines = asyncio.gather(reach.lines.keep(), serve_machines(settings, held.estate, reach.lines))
            machines.add_done_callback(_stop_without)
        await serve_application(door_application(door), door_listener)
        tasks = [
            asyncio.create_task(broker.keep(settled=keep_for_good)),
            asyncio.create_task(prelaunch.Prelaunch(acts, broker.start_session).keep()),
            asyncio.create_task(_listen(held.database, door)),
            asyncio.create_task(_canary(settings, held, acts, reach).keep()),
            asyncio.create_task(sign_ins.Synchronising(door.people, door.directories, broker, system_clock).run()),
            asyncio.create_task(sign_ins.CardsInUse(door.people, broker, system_clock).run()),
        ]
        log("controller.ready")
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await upkeep.run(stop)
        for task in tasks:
            task.cancel()

    asyncio.run(serve())


def _stop_without(machines: asyncio.Future[Any]) -> None:
    """A controller that hears no machine is none: the supervisor starts it again."""
    if not machines.cancelled():
        log("controller.no_machines", level="error", kind=type(machines.exception()).__name__)
        os.kill(os.getpid(), signal.SIGTERM)


async def _listen(database: dict[str, Any], door: Door) -> None:
    """New rules hold at this door as soon as the database says that there are some; after each loss they are read again."""
    heard = asyncio.Event()
    while True:
        with contextlib.suppress(*LOST, TimeoutError):
            connection = await asyncpg.connect(**database)
            try:
                await connection.add_listener(
                    CHANNEL, lambda _c, _pid, _channel, payload: heard.set() if payload.startswith("rules ") else None
                )
                await door.rules.heard()
                while not connection.is_closed():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(heard.wait(), PROBE_SECONDS)
                    if heard.is_set():
                        heard.clear()
                        await door.rules.heard()
            finally:
                connection.terminate()
        await asyncio.sleep(RETRY_SECONDS)


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


def _audit(settings: Settings, held: Held) -> operations.Audit:
    gate = wire.Caller(settings.socket("gate"), part="store gate")

    async def audit(entries: Sequence[dict[str, str]]) -> None:
        await gate.call("audit_append", token=held.controller_token, entries=list(entries))

    return audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How this controller reaches servers: by its one agent's socket, or by lines to many."""

    agents: Callable[[str], AgentCalls]
    slot: Callable[[str, int], str]
    host: Callable[[str], str]
    lines: lines.Lines | None = None


def _reach(settings: Settings, held: Held, pool: Any, reported: lines.Reported) -> Reach:
    if held.estate is None:
        agent = wire.Caller(settings.socket("agent"), part="agent")
        return Reach(agents=lambda server: agent, slot=lambda server, slot: str(settings.slot(slot)), host=lambda server: "")
    found = lines_of(settings, held.estate, People(pool), reported)
    return Reach(agents=found.to, slot=found.slot, host=found.host, lines=found)


def _broker(settings: Settings, held: Held, pool: Any, reach: Reach) -> tuple[Broker, operations.Operations, FarmUpkeep]:
    from cloister.farm.upkeep import FarmUpkeep

    uses = clients.Uses(People(pool), system_clock)
    name = f"{socket.gethostname()[:40]}-{os.getpid()}"

    async def end(server: str, session: str, why: str) -> None:
        with contextlib.suppress(CloisterError):
            await reach.agents(server).call("end", session=session, reason=why)

    store = LocalCache(EstateStore(pool), broker=name, clock=system_clock, end=end)
    acts = operations.Operations(
        store=operations.OperatingStore(pool), servers=store.servers, agents=reach.agents, audit=_audit(settings, held),
        clock=system_clock,
    )  # fmt: skip
    explaining.Explaining(acts, acts.store)
    group_acts.GroupActs(acts, acts.store)
    upkeep = FarmUpkeep(pool, operations=acts, machines=held.machines)
    tunnels, asked_of_vpn = vpn.asked_by_sessions(held.vpn, People(pool), _audit(settings, held))
    refused = sign_ins.Refusals(People(pool), _audit(settings, held))
    acts.register("refusals", refused.listed)
    acts.register("tunnels", tunnels.listed)
    acts.register("end_tunnel", tunnels.end)
    offers = Offers(store, pool, lambda person: _hospital_of(People(pool), person))
    acts.register("end_program", offers.ending(acts, reach.agents))
    broker = Broker(
        store=store,
        tickets=_tickets(held),
        agents=reach.agents,
        destination=reach.slot,
        host=reach.host,
        agent_token=Secret(held.agent_token.encode()),
        clock=system_clock,
        limits=acts.limits,
        heard=upkeep.heard,
        came_by=came_by.CameBy(People(pool).fetchrow),
        name=name,
        further={
            "lost_before": lost.asked(People(pool).fetchrow),
            "client_used": lambda session, words: uses.answer(session.person, words),
            "client_pace": lambda session, words: uses.pace(session.person),
            "operate": acts.of_session,
            "message_seen": acts.message_seen,
            "nudge": acts.nudge,
            "program_list": offers.listed,
            "program_asked": offers.asked,
            "program_ended": offers.ended,
            "refusal_noted": refused.noted,
            "refusals_shown": refused.shown,
            **asked_of_vpn,
        },
    )
    return broker, acts, upkeep


def _canary(settings: Settings, held: Held, acts: operations.Operations, reach: Reach) -> canary.Canary:
    words = farm_canary.Words(acts.store.fetch, socket.gethostname()[:100])
    acts.register("canary", words.last)
    return canary.Canary(
        servers=acts.servers, agents=reach.agents, tickets=_tickets(held), destination=reach.slot, host=reach.host,
        wire=lambda: canary.Wire(settings.base_url, held.tls), audit=_audit(settings, held), words=words, clock=system_clock,
    )  # fmt: skip


HOSPITAL: Final = "select coalesce(hospital, '') from trust.person where id = $1"


async def _hospital_of(people: People, person: str) -> str:
    row = await people.fetchrow(HOSPITAL, person)
    return "" if row is None else str(row[0])


def operated(broker: Broker, acts: operations.Operations, token: str) -> wire.Handler:
    """controller.sock: agents speak to the broker; whoever holds the controller's token, which is this machine's administrator,
    may operate the farm."""

    async def answer(peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if method != "operate_here":
            return await broker.answer(peer, method, arguments)
        if not hmac.compare_digest(str(arguments.get("token", "")).encode(), token.encode()):
            raise Denied("This is not an operator of this machine.", reason="operators-only")
        by = operations.Operator(id=f"account {peer.uid}", name=str(arguments.get("name", ""))[:100] or f"account {peer.uid}")
        return await acts.answer(by, str(arguments.get("act", "")), dict(arguments.get("words") or {}))

    return answer


def _door(settings: Settings, held: Held, pool: Any, broker: Broker) -> Door:
    people, audit = People(pool), _audit(settings, held)
    factors = sign_ins.Factors(people, held.door_secret, system_clock, issuer="Cloister")
    kept = sign_ins.Kept(people, held.door_secret, system_clock)
    broker.further.update(sign_ins.audited(factors.further, audit))
    broker.further.update(sign_ins.Proposals(people, audit).further)
    return Door(
        base_url=settings.base_url,
        card_url=settings.card_url,
        people=people,
        kept=kept,
        rules=sign_ins.HouseRules(people, held.roots),
        refusals=sign_ins.Refusals(people, audit),
        factors=factors,
        directories=sign_ins.Directories(people, held.door_secret, system_clock),
        providers=sign_ins.Providers(people, kept, held.door_secret, settings.base_url, system_clock),
        identity_key=sign_ins.IdentityKey(held.identity_keys),
        broker=broker,
        tickets=_tickets(held),
        limits=Limits(pool, system_clock),
        party=passkey.RelyingParty(id=settings.host, name="Cloister", origins=tuple(filter(None, (settings.base_url, settings.card_url)))),
        secret=held.door_secret,
        audit=audit,
        render=held.render,
        files=held.files,
        published=held.published,
        clock=system_clock,
    )
