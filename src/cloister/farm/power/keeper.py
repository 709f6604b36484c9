"""The keeper of power: sees which machines run, plans each group's, and switches them. In one controller at a time (lease.py).

A machine's state is written before it is switched, so that another controller goes on in the middle. Switching off may take a
minute, so it goes on beside the turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cloister.base.errors import CloisterError, Conflict
from cloister.base.telemetry import log
from cloister.farm.maintenance.keeper import Upkeep, members_of
from cloister.farm.maintenance.rolling import Turn, takes
from cloister.farm.maintenance.states import ServerEvent
from cloister.farm.maintenance.store import Kept, UpkeepStore
from cloister.farm.placement import SERVER_SILENT, ServerState
from cloister.farm.power.drivers.driver import Seen
from cloister.farm.power.forecast import DAYS_KEPT, HOLIDAYS_KEPT, STEP_SECONDS, Forecast, learn
from cloister.farm.power.machines_file import Switched
from cloister.farm.power.plan import Action, Machine, Placing, Plan, plan
from cloister.farm.power.policy import PowerPolicy
from cloister.farm.power.states import PowerEvent, PowerState, step
from cloister.farm.power.store import PowerStore, Row

LOST_SECONDS: Final = 60.0  # of silence, before a machine that should run counts as dead
HEARD_AFTER: Final = timedelta(seconds=5)  # what an agent says while it goes is no sign that it came back
SWITCHED_AT_ONCE: Final = 32
LEARN_EVERY: Final = timedelta(hours=1)
TURNS_KEPT: Final = timedelta(days=35)
OPERATOR: Final = "an operator asked for it"


class PowerKeeper:
    def __init__(self, *, store: PowerStore, upkeep: Upkeep, servers: UpkeepStore, machines: Mapping[str, Switched]) -> None:
        self._store, self._upkeep, self._servers, self._machines = store, upkeep, servers, machines
        self._forecasts: dict[str, Forecast] = {}
        self._policies: dict[str, PowerPolicy] = {}
        self._learnt: datetime | None = None
        self._watching: datetime | None = None
        self._switching: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(SWITCHED_AT_ONCE)

    def missed(self) -> None:
        self._watching = None

    async def turn(self) -> None:
        """See, then plan, then switch. Raises Unavailable without the database; call again in some seconds."""
        now = await self._servers.now()
        if self._watching is None:
            self._watching = now
            await self._know(now)
        await self._sample(now)
        self._policies = await self._store.policies()
        rows = await self._store.machines()
        kept = {one.id: one for one in await self._servers.servers()}
        for row in rows:
            if row.server in self._machines and row.server not in self._switching:
                await self._see(row, now)
        rows = [row for row in await self._store.machines() if row.server in self._machines]
        for row in rows:
            await self._as_asked(row, kept.get(row.server), now)
        last, taken = await self._store.last_turns(), await self._taken(kept)
        for group, policy in self._policies.items():
            since = last[group]["too_many_since"] if group in last else None
            await self._plan(group, policy, [row for row in rows if row.group == group], kept, since, now, taken.get(group, 0))

    async def stop(self) -> None:
        """Leave no task behind; machines that were told to stop go on stopping."""
        for task in self._switching.values():
            task.cancel()
        await asyncio.gather(*self._switching.values(), return_exceptions=True)

    # --- knowing and seeing --------------------------------------------------------------------------------

    async def _know(self, now: datetime) -> None:
        for machine in self._machines.values():
            try:
                seen = await machine.driver.seen()
            except CloisterError:
                seen = Seen.UNKNOWN
            state = PowerState.ON if seen is Seen.ON else PowerState.OFF
            await self._store.know(machine.server, machine.group, machine.kind, state, now=now)
        await self._store.forget_others(sorted(self._machines))

    async def _sample(self, now: datetime) -> None:
        at = datetime.fromtimestamp(now.timestamp() // STEP_SECONDS * STEP_SECONDS, now.tzinfo)
        if (now - at).total_seconds() < 60:
            await self._store.sample(at)
        if self._learnt is None or now - self._learnt >= LEARN_EVERY:
            self._learnt = now
            policies = await self._store.policies()
            today = now.date()
            past = {day for one in policies.values() for day in one.calendar.holidays(today - timedelta(days=HOLIDAYS_KEPT), today)}
            samples = await self._store.samples(now - timedelta(days=DAYS_KEPT), sorted(past))
            self._forecasts = {
                group: learn(samples.get(group, []), now=now, zone=policy.zone, calendar=policy.calendar)
                for group, policy in policies.items()
            }
            await self._store.forget(now - timedelta(days=DAYS_KEPT + 7), sorted(past), now - TURNS_KEPT)

    async def _see(self, row: Row, now: datetime) -> None:
        """What has happened to this machine since the last turn, by its agent's word first and by its driver's where that is silent."""
        policy = self._policies.get(row.group, PowerPolicy())
        silent = row.seen is None or now - row.seen >= SERVER_SILENT
        waited = now - row.since
        if row.state is PowerState.BOOTING and not silent and row.started is not None and row.started > row.since:
            await self._turned(row, PowerEvent.HELLO, now, boot_seconds=(row.started - row.since).total_seconds())
        elif row.state is PowerState.BOOTING and waited > timedelta(seconds=policy.boot_max):
            await self._turned(row, PowerEvent.LATE, now, failed="it did not come up in time")
        elif row.state in (PowerState.OFF, PowerState.FAILED) and row.seen is not None and row.seen > row.since + HEARD_AFTER:
            await self._turned(row, PowerEvent.HELLO, now)
        elif row.state is PowerState.ON and self._long_silent(row, now):
            await self._turned(row, PowerEvent.LOST, now, failed="it fell silent")
        elif row.state is PowerState.STOPPING and await self._is_off(row, silent):
            await self._turned(row, PowerEvent.GONE, now)
        elif row.state is PowerState.STOPPING and waited > timedelta(seconds=policy.stop_max):
            await self._turned(row, PowerEvent.LATE, now, failed="it did not stop in time")

    def _long_silent(self, row: Row, now: datetime) -> bool:
        assert self._watching is not None
        since = max(row.seen or row.since, row.since, self._watching)
        return now - since >= timedelta(seconds=LOST_SECONDS)

    async def _is_off(self, row: Row, silent: bool) -> bool:
        try:
            seen = await self._machines[row.server].driver.seen()
        except CloisterError:
            return False
        return seen is Seen.OFF or (seen is Seen.UNKNOWN and silent)

    async def _turned(self, row: Row, event: PowerEvent, now: datetime, *, failed: str = "", boot_seconds: float = 0.0) -> bool:
        state = step(row.state, event)
        came_up = event is PowerEvent.HELLO and row.state is PowerState.BOOTING
        failures = row.failures + 1 if failed else 0 if came_up else row.failures
        learnt = (
            row.boot_seconds + (boot_seconds - row.boot_seconds) * (0.3 if row.boot_seconds else 1.0) if boot_seconds else row.boot_seconds
        )
        if failed or event in (PowerEvent.HELLO, PowerEvent.GONE):
            await self._store.add_step(row.server, str(event), failed, str(state), now=now)
            log("power.seen", server=row.server, happened=str(event), state=str(state))
        if event is PowerEvent.HELLO and row.restart:
            await self._store.want_restart(row.server, False)
        return await self._store.set_power(row, state, failures=failures, boot_seconds=learnt, text=failed, now=now)

    # --- what operators and maintenance ask ------------------------------------------------------------------

    async def _as_asked(self, row: Row, server: Kept | None, now: datetime) -> None:
        if row.server in self._switching:
            return
        empty = row.sessions == 0
        if row.state is PowerState.OFF and (row.restart or row.wish == "on"):
            await self._do(row, Action.START, "it is started anew" if row.restart else OPERATOR, server, PowerPolicy(), now)
        elif row.state is PowerState.ON and row.restart and empty:
            await self._do(row, Action.STOP, "it is started anew", server, PowerPolicy(), now)
        elif row.state is PowerState.ON and row.wish == "off":
            if empty and row.server_state != ServerState.READY:
                await self._do(row, Action.STOP, OPERATOR, server, PowerPolicy(), now)
            elif "power" not in row.causes:
                await self._do(row, Action.EMPTY, OPERATOR, server, PowerPolicy(), now)

    # --- planning and switching --------------------------------------------------------------------------------

    async def _plan(
        self,
        group: str,
        policy: PowerPolicy,
        rows: Sequence[Row],
        kept: Mapping[str, Kept],
        since: datetime | None,
        now: datetime,
        extra: int = 0,
    ) -> None:
        policy = with_learnt(policy, rows)
        forecast = self._forecasts.get(group) or learn([], now=now, zone=policy.zone)
        machines = [as_machine(row) for row in rows if row.server not in self._switching or row.state is not PowerState.ON]
        made = plan(machines, policy, forecast, now=now, too_many_since=since, extra=extra)
        await self._write(group, made, rows, now)
        by_name = {row.server: row for row in rows}
        for one in made.steps:
            await self._do(by_name[one.machine], one.action, one.why, kept.get(one.machine), policy, now)

    async def _taken(self, kept: Mapping[str, Kept]) -> dict[str, int]:
        """By group: servers that its maintenance would have out beyond those that it has."""
        found = {}
        for rolling in await self._servers.rollings():
            members = members_of(await self._servers.members(rolling.id), kept)
            out = sum(m.turn in (Turn.EMPTYING, Turn.OUT) for m in members)
            found[rolling.group] = max(0, takes(members, rolling.percent) - out)
        return found

    async def _write(self, group: str, made: Plan, rows: Sequence[Row], now: datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        emptying = sum(row.server_state == ServerState.DRAINING for row in rows)
        running = sum(row.state in (PowerState.BOOTING, PowerState.ON, PowerState.STOPPING) for row in rows)
        await self._store.add_turn(group, made, emptying=emptying, running=running, held=sum(row.sessions for row in rows), now=minute)

    async def _do(self, row: Row, action: Action, why: str, server: Kept | None, policy: PowerPolicy, now: datetime) -> None:
        """Written, then done. A machine that somebody else has turned meanwhile is left to them."""
        try:
            if action is Action.EMPTY and server is not None:
                deadline = now + timedelta(seconds=policy.deadline) if policy.deadline else None
                await self._upkeep.drain(server, "power", why, deadline=deadline, leave=policy.leave, now=now)
            elif action is Action.TAKE_BACK and server is not None:
                await self._upkeep.undrain(server, "power")
            elif action is Action.START:
                if await self._turned(row, PowerEvent.BOOT, now):
                    await self._server_turns(server, ServerEvent.START, "")
                    self._switch(row, on=True)
            elif action in (Action.STOP, Action.RESTART, Action.CYCLE):
                if action is Action.RESTART:
                    await self._store.want_restart(row.server, True)
                if await self._turned(row, PowerEvent.STOP, now):
                    await self._server_turns(server, ServerEvent.STOP, "switched off" if action is not Action.CYCLE else "it failed")
                    await self._servers.undrain(row.server, "power")
                    self._switch(row, on=False)
        except Conflict as refused:
            log("power.refused", level="warning", server=row.server, action=str(action), text=refused.text)
            return
        await self._store.add_step(row.server, str(action), why, "", now=now)
        log("power.step", server=row.server, action=str(action), why=why)

    async def _server_turns(self, server: Kept | None, event: ServerEvent, why: str) -> None:
        if server is not None and (event is not ServerEvent.START or server.state is ServerState.OFF):
            await self._servers.turn(server.id, server.state, event, why)

    def _switch(self, row: Row, *, on: bool) -> None:
        task = asyncio.create_task(self._switched(row, on), name=f"power-{row.server}")
        self._switching[row.server] = task
        task.add_done_callback(lambda _: self._switching.pop(row.server, None))

    async def _switched(self, row: Row, on: bool) -> None:
        driver = self._machines[row.server].driver
        try:
            async with self._room:
                await (driver.on() if on else driver.off())
        except CloisterError as refused:
            now = await self._servers.now()
            await self._store.add_step(row.server, "on" if on else "off", refused.text, "failed", now=now)
            log("power.not_switched", level="error", server=row.server, on=on, text=refused.text)
            current = replace(row, state=PowerState.BOOTING if on else PowerState.STOPPING)
            await self._turned(current, PowerEvent.LATE, now, failed=refused.text)


def as_machine(row: Row) -> Machine:
    """What the planner needs of a row."""
    others = set(row.causes) - {"power"} or row.server_state in (ServerState.MAINTENANCE, ServerState.UNHEALTHY)
    placing = Placing.CLOSED if others else Placing.EMPTYING if row.server_state == ServerState.DRAINING else Placing.OPEN
    return Machine(
        id=row.server, power=row.state, placing=placing, since=row.since, sessions=row.sessions, attended=row.attended,
        capacity=row.slots, update=row.outdated, failures=row.failures, held=row.wish != "auto" or row.restart,
    )  # fmt: skip


def with_learnt(policy: PowerPolicy, rows: Sequence[Row]) -> PowerPolicy:
    """How long starts really take in this group: its slowest machine but a tenth."""
    known = sorted(row.boot_seconds for row in rows if row.boot_seconds > 0)
    if not known:
        return policy
    usual = known[min(len(known) - 1, len(known) * 9 // 10)]
    return replace(policy, boot=min(policy.boot_max, max(1, round(usual))))
