"""The agent: keeps a server's sessions. Starts them through the zygote, watches them, ends them, and tells the controller.

Runs as root where possible. Holds no key of a person; an unlock message passes through it sealed. Sessions
outlive it: a new agent reads the register and takes them over. Life cycle: cloister.farm.states.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from cloister.base import wire
from cloister.base.errors import CloisterError, Denied, Invalid, NotFound, Unavailable, Unsupported
from cloister.base.process import adopt_orphans, memory_used
from cloister.base.telemetry import log
from cloister.farm import SessionState
from cloister.server import ending, telling
from cloister.server.agent_plan import AgentPlan
from cloister.server.groups import Groups
from cloister.server.health import Health
from cloister.server.image import image
from cloister.server.limits import overdue
from cloister.server.lines import ControllerLines
from cloister.server.links import ASKED_OF_CONTROLLER, ControllerLink, GateLink
from cloister.server.live import Live
from cloister.server.programs.beside import Beside
from cloister.server.register import Register, SessionRecord
from cloister.server.shut_out import REVOKED, TOLD
from cloister.server.slots import Slots
from cloister.server.starting import Starting
from cloister.server.zygote_link import ZygoteLink

JOIN_SECONDS_MAX: Final = 10.0
ADOPT_SECONDS_MAX: Final = 5.0
SWEEP_SECONDS: Final = 15.0
OVERDUE_SECONDS: Final = 30.0  # what a session gets beyond its limits before the agent ends it
RENEWALS_AT_ONCE: Final = 8  # a new epoch of a large zone must not keep the gate from everybody else


class Agent:
    def __init__(self, plan: AgentPlan) -> None:
        self._plan = plan
        self._root = os.geteuid() == 0
        self._slots = Slots(plan.runtime, plan.slots, plan.edge_gid)
        self._register = Register(plan.runtime)
        self._zygote = ZygoteLink(plan.zygote_command)
        self._live: dict[str, Live] = {}
        self._by_pid: dict[int, Live] = {}
        self._renewing = asyncio.Semaphore(RENEWALS_AT_ONCE)
        self._health = Health(plan.runtime)
        self._image = image()
        self._tasks: set[asyncio.Task[Any]] = set()
        token = plan.agent_token
        self._gate = GateLink(plan.socket("gate"), token, self._admissions, self._told)
        self._controller: ControllerLink | ControllerLines
        if plan.estate is None:
            self._controller = ControllerLink(plan.socket("controller"), token, self._report, self._end_unknown)
        else:
            self._controller = ControllerLines(plan.estate, self._report, self._end_unknown, self._asked, self._fence)
        self._groups = Groups(plan.runtime)
        self._start = Starting(
            plan, slots=self._slots, zygote=self._zygote, gate=self._gate, register=self._register, health=self._health,
            live=self._live, watch=self._watch, groups=self._groups,
        )  # fmt: skip
        self._beside = Beside(plan.runtime, self._zygote, self._controller.ask, self._groups)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then end every session. Killed without it, the sessions stay for the next agent."""
        adopt_orphans()
        self._slots.prepare()
        found = self._register.read_live()
        self._slots.keep(record.slot for record, _ in found)
        self._beside.clear()
        self._later(self._groups.remove_others(record.session for record, _ in found))
        tasks = [asyncio.create_task(self._zygote.keep())]
        await asyncio.gather(*(self._adopt(record, pidfd) for record, pidfd in found))
        # Sessions have accounts of their own, so all may connect; who may say what is decided by SO_PEERCRED.
        server = await wire.serve(self._plan.socket("agent"), self._answer, mode=0o666 if self._root else 0o600)
        tasks += [asyncio.create_task(work) for work in (self._gate.keep(), self._join_farm(), self._sweep())]
        log("agent.ready", slots=self._plan.slots, adopted=len(self._live))
        try:
            await stop.wait()
            await self._end_all()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _join_farm(self) -> None:
        """Say hello when sessions can be started; without a zygote, say it late, for the sessions that live already.

        Among several machines it is said at once where there are such: nobody else can bring their people back to them."""
        if self._plan.estate is not None and self._live:
            await self._controller.keep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._zygote.warm.wait(), JOIN_SECONDS_MAX)
        await self._controller.keep()

    # --- agent.sock ----------------------------------------------------------------------------------

    async def _answer(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        own = self._by_pid.get(peer.pid)
        if own is not None and own.record.uid == peer.uid:
            return await self._answer_session(own, method, arguments)
        if peer.uid not in (0, os.geteuid(), self._plan.controller_uid):
            raise Denied("This process is no session of this server.", reason="peer")
        return await self._asked(method, arguments)

    async def _asked(self, method: str, arguments: dict[str, Any]) -> Any:
        """By a controller, over its socket or a line; or by this machine's own administrator."""
        match method:
            case "spawn":
                if "application" in arguments:
                    raise Unsupported("This server starts the record only.", reason="application")
                return await self._start.spawn(**_only(arguments, "session", "person", "role", "kind", "label", "epoch", "limits"))
            case "rejoin":
                return await self._rejoin(self._session(arguments), int(arguments["epoch"]), str(arguments.get("where", "")))
            case "message":
                return await telling.message(self._those(arguments["sessions"]), dict(arguments["message"]))
            case "nudge":
                return {"told": await telling.nudge(self._those(arguments["sessions"]))}
            case "end_many":
                wanted = [one for one in self._those(arguments.get("sessions")) if one.record.session != arguments.get("spare")]
                return await ending.end_many(wanted, str(arguments["reason"])[:64])
            case "end_run":
                return {"ended": self._beside.end_run(str(arguments["run"]))}
            case "unlock":
                message = {"unlocker": arguments["unlocker"], "sealed": arguments["sealed"]}
                return await self._session(arguments).control.call("unlock", **message)
            case "refuse":
                what = {"epoch": arguments["epoch"], "grant": arguments["grant"]}
                return await self._session(arguments).control.call("refuse", **what)
            case "end":
                live, why = self._session(arguments), str(arguments.get("reason", "ended"))
                if why in TOLD:  # it still answers with why for some seconds, for which nobody waits
                    self._later(ending.end(live, why))
                else:
                    await ending.end(live, why)
                return {}
            case "list":
                return self._report()
        raise Invalid("The agent has no such method.", reason="method")

    async def _answer_session(self, own: Live, method: str, arguments: dict[str, Any]) -> Any:
        """A session speaks only of itself: which one it is, the kernel says."""
        match method:
            case "session_renew":
                keys = {name: str(arguments.get(name, "")) for name in ("jkt", "x5t")}
                return {"ticket": await self._controller.renew_ticket(own.record.session, own.record.epoch, **keys)}
            case "session_asks":
                if arguments.get("what") not in ASKED_OF_CONTROLLER:
                    raise Invalid("A session may not ask this.", reason="method")
                return await self._controller.ask(str(arguments["what"]), own.record.session, dict(arguments["words"]))
            case "session_program":
                return await self._beside.start(own.record, str(arguments["application"])[:64])
            case "session_state":
                own.state, own.why = SessionState(arguments["state"]), str(arguments.get("why", ""))[:64]
                own.changed = time.monotonic()
                await self._controller.tell(own.record.session, own.state, own.why)
                return {}
        raise Invalid("The agent has no such method for a session.", reason="method")

    def _session(self, arguments: dict[str, Any]) -> Live:
        live = self._live.get(str(arguments.get("session", "")))
        if live is None:
            raise NotFound("This server has no such session.", reason="session")
        return live

    def _those(self, sessions: Sequence[str] | None) -> list[Live]:
        """Of these, the ones that are here; None: all."""
        return list(self._live.values()) if sessions is None else [self._live[one] for one in sessions if one in self._live]

    def _report(self) -> dict[str, Any]:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        facts = {"server": self._plan.server, "slots": self._plan.slots, "free": self._slots.free, "load": round(load, 2)}
        facts |= {"memory": round(memory_used(), 3), "image": self._image}
        facts |= {"instance": self._health.instance, "health": self._health.facts(**self._parts())}
        missing = list(self._zygote.missing)
        return {**facts, "missing": missing, "zygote": self._zygote.pid, "sessions": [live.as_wire() for live in self._live.values()]}

    def _parts(self) -> dict[str, Any]:
        return {"zygote": self._zygote.pid is not None, "gate_away": self._gate.away_seconds}

    def _admissions(self) -> list[SessionRecord]:
        return [live.record for live in self._live.values()]

    # --- what lives --------------------------------------------------------------------------------------

    async def _adopt(self, record: SessionRecord, pidfd: int) -> None:
        live = self._watch(record, pidfd)
        try:
            hello = await live.hello(ADOPT_SECONDS_MAX)
        except CloisterError:
            log("agent.not_adopted", level="error", session=record.session, pid=record.pid)
            await live.kill("silent")
            return
        live.state = SessionState(hello["state"])
        self._set_epoch(live, int(hello["epoch"]))

    def _watch(self, record: SessionRecord, pidfd: int) -> Live:
        live = Live(record=record, pidfd=pidfd, control=wire.Caller(self._slots.control_path(record.slot), part="session"))
        self._live[record.session] = self._by_pid[record.pid] = live
        asyncio.get_running_loop().add_reader(pidfd, self._died, live)
        return live

    async def _rejoin(self, live: Live, epoch: int, where: str) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = await live.control.call("rejoin", epoch=epoch, where=where)
        except (NotFound, Unavailable):  # it is ending: once it is gone, the broker may place a new one
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(live.gone.wait(), ending.END_SECONDS_MAX)
            if live.gone.is_set():
                raise NotFound("This server has no such session.", reason="session") from None
            raise
        self._set_epoch(live, epoch)
        return reply

    def _set_epoch(self, live: Live, epoch: int) -> None:
        live.record = replace(live.record, epoch=epoch)
        self._register.write(live.record)

    # --- ending ------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """End what should have ended by itself: a session is not trusted with its own limits."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now, today = time.monotonic(), time.time()
            self._beside.reap()
            for live in list(self._live.values()):
                ages = {"age_seconds": today - (live.record.began or today), "state_seconds": now - live.changed}
                why = overdue(live.state, **ages, limits=live.record.limits, grace_seconds=OVERDUE_SECONDS)
                if why:
                    log("agent.overdue", level="warning", session=live.record.session, why=why)
                    self._later(ending.end(live, why))

    def _end_unknown(self, session: str) -> None:
        """The controller knows nothing of it, so nobody could ever come back to it."""
        live = self._live.get(session)
        if live is not None and session not in self._start.unfinished:
            self._later(ending.end(live, "unknown-to-controller"))

    def _told(self, news: list[tuple[str, str]]) -> None:
        """From the gate: whose sessions must end, and whose must look at their keys again."""
        for session, what in news:
            live = self._live.get(session)
            if live is not None:
                self._later(ending.end(live, REVOKED) if what == "end" else self._renew(live, what))

    async def _renew(self, live: Live, what: str) -> None:
        async with self._renewing:
            with contextlib.suppress(CloisterError):  # it tries again by itself, and the gate hands out nothing meanwhile
                await live.control.call("rules" if what == "rules" else "renew")

    async def _fence(self) -> None:
        """No controller has been heard for long: what its store says is elsewhere ends; if nobody can be asked, all are locked."""
        try:
            elsewhere = await self._gate.elsewhere()
        except CloisterError:
            unlocked = [live for live in self._live.values() if live.state is SessionState.ACTIVE]
            log("agent.fenced", level="error", locking=len(unlocked))
            for live in unlocked:
                with contextlib.suppress(CloisterError):
                    await live.control.call("lock", reason="fenced")
            return
        for session in elsewhere:
            self._end_unknown(session)

    async def _end_all(self) -> None:
        log("agent.ending", sessions=len(self._live))
        await ending.end_many(self._those(None), "server-stopped")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _died(self, live: Live) -> None:
        """The kernel says that the process is dead: only now its slot and user id are free."""
        record = live.record
        asyncio.get_running_loop().remove_reader(live.pidfd)
        os.close(live.pidfd)
        with contextlib.suppress(ChildProcessError):  # ours only when its zygote died before it
            os.waitpid(record.pid, os.WNOHANG)
        live.control.close()
        live.state = SessionState.ENDED
        del self._live[record.session]
        self._by_pid.pop(record.pid, None)
        self._register.remove(record.slot)
        self._slots.give_back(record.slot)
        live.gone.set()
        log("agent.session_ended", session=record.session, slot=record.slot, why=live.why or "died")
        self._beside.end(record.session)
        self._later(self._groups.remove(record.session))
        self._later(self._farewell(record.session, live.why or "died"))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _farewell(self, session: str, why: str) -> None:
        await self._gate.dismiss(session)
        await self._controller.tell(session, SessionState.ENDED, why)


def _only(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise Invalid(f"Unknown argument '{unknown[0][:40]}'.", reason="argument")
    return arguments
