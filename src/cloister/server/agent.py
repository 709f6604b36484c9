"""The agent: keeps a server's sessions. Starts them through the zygote, watches them, ends them, and tells the controller.

Runs as root where possible. Holds no key of a person; an unlock message passes through it sealed. Sessions
outlive it: a new agent reads the register and takes them over. Life cycle: cloister.farm.states.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cloister.base import wire
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable
from cloister.base.process import adopt_orphans, start_time
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.farm import SessionState
from cloister.server.assignment import UNLOCK_SECONDS, Assignment
from cloister.server.links import ControllerLink, GateLink
from cloister.server.register import Register, SessionRecord
from cloister.server.slots import Slots
from cloister.server.zygote_link import Forked, ZygoteLink

JOIN_SECONDS_MAX: Final = 10.0
READY_SECONDS_MAX: Final = 10.0
ADOPT_SECONDS_MAX: Final = 5.0
END_SECONDS_MAX: Final = 3.0
REVOKED: Final = "revoked"
REVOKED_ANSWER_SECONDS: Final = 2.0
ASKED_OF_CONTROLLER: Final = frozenset({"client_used", "app_asked", "app_allowed", "app_list", "app_launched"})
REVOKED_SECONDS_MAX: Final = 15.0  # longer than a revoked session answers why
FORKS_AT_ONCE: Final = 4  # more only wait for each other's processor
RENEWALS_AT_ONCE: Final = 8  # a new epoch of a large zone must not keep the gate from everybody else


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """One server's own facts; `zygote_command` gets the number of its control socket as last argument."""

    server: str
    runtime: Path
    slots: int
    edge_uid: int
    edge_gid: int
    controller_uid: int
    zygote_command: Sequence[str]
    agent_token: Secret
    idle_lock_seconds: int
    linger_seconds: int
    unlock_seconds: int = UNLOCK_SECONDS

    def socket(self, name: str) -> Path:
        return self.runtime / f"{name}.sock"


@dataclass(slots=True, kw_only=True)
class Live:
    """A session's process as the agent holds it: a pidfd, which no other process can take over."""

    record: SessionRecord
    pidfd: int
    control: wire.Caller
    state: SessionState = SessionState.STARTING
    why: str = ""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def as_wire(self) -> dict[str, Any]:
        r = self.record
        names = {"session": r.session, "person": r.person, "role": r.role, "kind": r.kind, "label": r.label}
        return {**names, "slot": r.slot, "pid": r.pid, "uid": r.uid, "epoch": r.epoch, "state": str(self.state)}


class Agent:
    def __init__(self, plan: AgentPlan) -> None:
        self._plan = plan
        self._root = os.geteuid() == 0
        self._slots = Slots(plan.runtime, plan.slots, plan.edge_gid)
        self._register = Register(plan.runtime)
        self._zygote = ZygoteLink(plan.zygote_command)
        self._live: dict[str, Live] = {}
        self._by_pid: dict[int, Live] = {}
        self._forking = asyncio.Semaphore(FORKS_AT_ONCE)
        self._renewing = asyncio.Semaphore(RENEWALS_AT_ONCE)
        self._starting: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        token = plan.agent_token
        self._gate = GateLink(plan.socket("gate"), token, self._admissions, self._told)
        self._controller = ControllerLink(plan.socket("controller"), token, self._report, self._end_unknown)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then end every session. Killed without it, the sessions stay for the next agent."""
        adopt_orphans()
        self._slots.prepare()
        found = self._register.read_live()
        self._slots.keep(record.slot for record, _ in found)
        tasks = [asyncio.create_task(self._zygote.keep())]
        await asyncio.gather(*(self._adopt(record, pidfd) for record, pidfd in found))
        # Sessions have accounts of their own, so all may connect; who may say what is decided by SO_PEERCRED.
        server = await wire.serve(self._plan.socket("agent"), self._answer, mode=0o666 if self._root else 0o600)
        tasks += [asyncio.create_task(self._gate.keep()), asyncio.create_task(self._join_farm())]
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
        """Say hello when sessions can be started; without a zygote, say it late, for the sessions that live already."""
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
        match method:
            case "spawn":
                return await self._spawn(**_only(arguments, "session", "person", "role", "kind", "label", "epoch"))
            case "rejoin":
                return await self._rejoin(self._session(arguments), int(arguments["epoch"]))
            case "unlock":
                message = {"unlocker": arguments["unlocker"], "sealed": arguments["sealed"]}
                return await self._session(arguments).control.call("unlock", **message)
            case "refuse":
                what = {"epoch": arguments["epoch"], "grant": arguments["grant"]}
                return await self._session(arguments).control.call("refuse", **what)
            case "end":
                await self._end(self._session(arguments), str(arguments.get("reason", "ended")))
                return {}
            case "list":
                return self._report()
        raise Invalid("The agent has no such method.", reason="method")

    async def _answer_session(self, own: Live, method: str, arguments: dict[str, Any]) -> Any:
        """A session speaks only of itself: which one it is, the kernel says."""
        match method:
            case "session_renew":
                return {"ticket": await self._controller.renew_ticket(own.record.session, own.record.epoch)}
            case "session_asks":
                if arguments.get("what") not in ASKED_OF_CONTROLLER:
                    raise Invalid("A session may not ask this.", reason="method")
                return await self._controller.ask(str(arguments["what"]), own.record.session, dict(arguments["words"]))
            case "session_state":
                own.state, own.why = SessionState(arguments["state"]), str(arguments.get("why", ""))[:64]
                await self._controller.tell(own.record.session, own.state, own.why)
                return {}
        raise Invalid("The agent has no such method for a session.", reason="method")

    def _session(self, arguments: dict[str, Any]) -> Live:
        live = self._live.get(str(arguments.get("session", "")))
        if live is None:
            raise NotFound("This server has no such session.", reason="session")
        return live

    def _report(self) -> dict[str, Any]:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        facts = {"server": self._plan.server, "slots": self._plan.slots, "free": self._slots.free, "load": round(load, 2)}
        missing = list(self._zygote.missing)
        return {**facts, "missing": missing, "zygote": self._zygote.pid, "sessions": [live.as_wire() for live in self._live.values()]}

    def _admissions(self) -> list[SessionRecord]:
        return [live.record for live in self._live.values()]

    # --- starting --------------------------------------------------------------------------------------

    async def _spawn(self, *, session: str, person: str, role: str, kind: str, label: str = "", epoch: int = 1) -> dict[str, Any]:
        if session in self._live or session in self._starting:
            raise Conflict("This session exists already.", reason="session-exists")
        slot = self._slots.take()
        self._starting.add(session)
        uid, gid = self._slots.account(slot)
        plan = self._plan
        assignment = Assignment(
            session=session, person=person, role=role, kind=kind, label=label, epoch=epoch, slot=slot, uid=uid, gid=gid,
            edge_uid=plan.edge_uid if self._root else None, agent_uid=os.geteuid(),
            gate=str(plan.socket("gate")), agent=str(plan.socket("agent")),
            idle_lock_seconds=plan.idle_lock_seconds, linger_seconds=plan.linger_seconds, unlock_seconds=plan.unlock_seconds,
        )  # fmt: skip
        watched = False
        try:
            async with self._forking:
                forked = await self._fork(assignment)
                live = self._watch(_record(assignment, forked.pid), forked.pidfd)
                watched = True
                return await self._ready(live)
        finally:
            self._starting.discard(session)
            if not watched:  # no process holds the slot; otherwise its death gives it back
                self._slots.give_back(slot)

    async def _fork(self, assignment: Assignment) -> Forked:
        """Twice at most: a zygote that dies is started again meanwhile. Each time with new sockets, so that a
        child whose birth was never reported listens where nobody knocks."""
        for last in (False, True):
            listeners = self._slots.bind(assignment.slot)
            try:
                return await self._zygote.fork(assignment, listeners)
            except Unavailable:
                if last:
                    raise
            finally:
                listeners.close()
        raise AssertionError("unreachable")

    async def _ready(self, live: Live) -> dict[str, Any]:
        admitted = asyncio.create_task(self._gate.admit(live.record))
        try:
            hello = await self._hello(live, READY_SECONDS_MAX)
            await admitted
        except Denied:  # the gate does not know this agent: say that, not that the session failed
            await self._kill(live, "gate-refused")
            raise
        except CloisterError as fault:
            await self._kill(live, "not-ready")
            raise Unavailable("The session did not become ready.", hint="Try again.", reason="not-ready") from fault
        self._register.write(live.record)
        live.state = SessionState(hello["state"])
        return {"public_key": hello["public_key"], "slot": live.record.slot, "pid": live.record.pid}

    async def _hello(self, live: Live, seconds: float) -> dict[str, Any]:
        call = asyncio.create_task(live.control.call("hello", timeout_seconds=seconds))
        gone = asyncio.create_task(live.gone.wait())
        try:
            await asyncio.wait([call, gone], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise Unavailable("The session's process died.", reason="died")
            hello: dict[str, Any] = call.result()
        finally:
            call.cancel()
            gone.cancel()
        if hello["session"] != live.record.session:
            raise Corrupt("Another session answers in this slot.", reason="slot")
        return hello

    async def _adopt(self, record: SessionRecord, pidfd: int) -> None:
        live = self._watch(record, pidfd)
        try:
            hello = await self._hello(live, ADOPT_SECONDS_MAX)
        except CloisterError:
            log("agent.not_adopted", level="error", session=record.session, pid=record.pid)
            await self._kill(live, "silent")
            return
        live.state = SessionState(hello["state"])
        self._set_epoch(live, int(hello["epoch"]))

    def _watch(self, record: SessionRecord, pidfd: int) -> Live:
        live = Live(record=record, pidfd=pidfd, control=wire.Caller(self._slots.control_path(record.slot), part="session"))
        self._live[record.session] = self._by_pid[record.pid] = live
        asyncio.get_running_loop().add_reader(pidfd, self._died, live)
        return live

    async def _rejoin(self, live: Live, epoch: int) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = await live.control.call("rejoin", epoch=epoch)
        except (NotFound, Unavailable):  # it is ending: once it is gone, the broker may place a new one
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(live.gone.wait(), END_SECONDS_MAX)
            if live.gone.is_set():
                raise NotFound("This server has no such session.", reason="session") from None
            raise
        self._set_epoch(live, epoch)
        return reply

    def _set_epoch(self, live: Live, epoch: int) -> None:
        live.record = replace(live.record, epoch=epoch)
        self._register.write(live.record)

    # --- ending ------------------------------------------------------------------------------------------

    async def _end(self, live: Live, why: str, seconds: float = END_SECONDS_MAX) -> None:
        """Ask, then insist: at once with a revoked session that does not answer, because its keys go with its answer."""
        live.why = live.why or why
        wait, patience = seconds, REVOKED_ANSWER_SECONDS if why == REVOKED else END_SECONDS_MAX
        try:
            await live.control.call("end", timeout_seconds=patience, reason=why)
        except CloisterError:
            wait = 0.5 if why == REVOKED else seconds
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(live.gone.wait(), wait)
        if not live.gone.is_set():
            await self._kill(live, why)

    def _end_unknown(self, session: str) -> None:
        """The controller knows nothing of it, so nobody could ever come back to it."""
        live = self._live.get(session)
        if live is not None and session not in self._starting:
            self._later(self._end(live, "unknown-to-controller"))

    def _told(self, news: list[tuple[str, str]]) -> None:
        """From the gate: whose sessions must end, and whose must look at their keys again."""
        for session, what in news:
            live = self._live.get(session)
            if live is not None:
                self._later(self._end(live, REVOKED, REVOKED_SECONDS_MAX) if what == "end" else self._renew(live))

    async def _renew(self, live: Live) -> None:
        async with self._renewing:
            with contextlib.suppress(CloisterError):  # it tries again by itself, and the gate hands out nothing meanwhile
                await live.control.call("renew")

    async def _kill(self, live: Live, why: str) -> None:
        if live.gone.is_set():
            return
        live.why = live.why or why
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(live.pidfd, signal.SIGKILL)
        await live.gone.wait()

    async def _end_all(self) -> None:
        log("agent.ending", sessions=len(self._live))
        await asyncio.gather(*(self._end(live, "server-stopped") for live in list(self._live.values())))
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
        self._later(self._farewell(record.session, live.why or "died"))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _farewell(self, session: str, why: str) -> None:
        await self._gate.dismiss(session)
        await self._controller.tell(session, SessionState.ENDED, why)


def _record(assignment: Assignment, pid: int) -> SessionRecord:
    a = assignment
    started = start_time(pid)
    return SessionRecord(
        session=a.session, person=a.person, role=a.role, kind=a.kind, label=a.label, slot=a.slot, uid=a.uid, pid=pid,
        started=started or 0, epoch=a.epoch,
    )  # fmt: skip


def _only(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise Invalid(f"Unknown argument '{unknown[0][:40]}'.", reason="argument")
    return arguments
