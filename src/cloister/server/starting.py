"""How a session starts: a slot, a process forked by the zygote, and its first word. What has started, agent.py keeps."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from cloister.base.errors import CloisterError, Conflict, Denied, Unavailable
from cloister.base.process import start_time
from cloister.farm import SessionState
from cloister.server.agent_plan import AgentPlan
from cloister.server.assignment import Assignment
from cloister.server.groups import Groups
from cloister.server.health import Health
from cloister.server.limits import LIMITS
from cloister.server.links import GateLink
from cloister.server.live import Live
from cloister.server.meeting import assert_nobody_here
from cloister.server.register import Register, SessionRecord
from cloister.server.slots import Slots
from cloister.server.zygote_link import Forked, ZygoteLink

READY_SECONDS_MAX: Final = 10.0
FORKS_AT_ONCE: Final = 4  # more only wait for each other's processor


class Starting:
    """`live`: the sessions that are here; `watch` takes a new process among them; `groups` limits it."""

    def __init__(
        self,
        plan: AgentPlan,
        *,
        slots: Slots,
        zygote: ZygoteLink,
        gate: GateLink,
        register: Register,
        health: Health,
        live: Mapping[str, Live],
        watch: Callable[[SessionRecord, int], Live],
        groups: Groups,
    ) -> None:
        self._plan, self._slots, self._zygote, self._gate, self._register = plan, slots, zygote, gate, register
        self._health, self._live, self._watch, self._groups = health, live, watch, groups
        self._forking = asyncio.Semaphore(FORKS_AT_ONCE)
        self.unfinished: set[str] = set()

    async def spawn(
        self, *, session: str, person: str, role: str, kind: str, label: str = "", epoch: int = 1, limits: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """{public_key, slot, pid} of a session that answers; raises Unavailable when none can be started here now."""
        if session in self._live or session in self.unfinished:
            raise Conflict("This session exists already.", reason="session-exists")
        assert_nobody_here(session, person, label, (live.record for live in self._live.values()))
        if self._plan.estate is not None and not self._zygote.warm.is_set():  # another server is quicker
            raise Unavailable("No session can be started here at this moment.", hint="Try again in some seconds.", reason="zygote")
        slot = self._slots.take()
        self.unfinished.add(session)
        uid, gid = self._slots.account(slot)
        plan, root = self._plan, os.geteuid() == 0
        assignment = Assignment(
            session=session, person=person, role=role, kind=kind, label=label, epoch=epoch, slot=slot, uid=uid, gid=gid,
            edge_uid=plan.edge_uid if root else None, agent_uid=os.geteuid(),
            gate=str(plan.socket("gate")), agent=str(plan.socket("agent")),
            **self._limits(limits or {}),
        )  # fmt: skip
        watched = False
        try:
            async with self._forking:
                forked = await self._fork(assignment)
                live = self._watch(_record(assignment, forked.pid), forked.pidfd)
                watched = True
                answer = await self._limited(live)
                self._health.spawned(True)
                return answer
        except Unavailable:
            self._health.spawned(False)
            raise
        finally:
            self.unfinished.discard(session)
            if not watched:  # no process holds the slot; otherwise its death gives it back
                self._slots.give_back(slot)

    def _limits(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """This server's own limits, and in their place those that the policy of the farm names."""
        plan = self._plan
        own = {name: getattr(plan, name) for name in ("idle_lock_seconds", "linger_seconds", "unlock_seconds")}
        return own | {name: wanted[name] for name in LIMITS if wanted.get(name) is not None}

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

    async def _limited(self, live: Live) -> dict[str, Any]:
        """Its answer, once it is also in its group of limits: it gets there while it puts up its walls, before anything of its person's."""
        entering = asyncio.create_task(self._groups.enter(live.record.session, live.record.pid))
        try:
            return await self._ready(live)
        except CloisterError:
            await entering
            await self._groups.remove(live.record.session)  # its death may have come before its group
            raise
        finally:
            await entering

    async def _ready(self, live: Live) -> dict[str, Any]:
        admitted = asyncio.create_task(self._gate.admit(live.record))
        try:
            hello = await live.hello(READY_SECONDS_MAX)
            await admitted
        except Denied:  # the gate does not know this agent: say that, not that the session failed
            await live.kill("gate-refused")
            raise
        except CloisterError as fault:
            await live.kill("not-ready")
            raise Unavailable("The session did not become ready.", hint="Try again.", reason="not-ready") from fault
        self._register.write(live.record)
        live.state = SessionState(hello["state"])
        return {"public_key": hello["public_key"], "slot": live.record.slot, "pid": live.record.pid}


def _record(assignment: Assignment, pid: int) -> SessionRecord:
    a = assignment
    started = start_time(pid)
    return SessionRecord(
        session=a.session, person=a.person, role=a.role, kind=a.kind, label=a.label, slot=a.slot, uid=a.uid, pid=pid,
        started=started or 0, epoch=a.epoch, began=time.time(), limits={name: getattr(a, name) for name in LIMITS},
    )  # fmt: skip
