"""What operators do to servers and their power: acts of `operations`, for the console and the command line alike. Audited before done.

drain, undrain, maintenance, set_window, drop_window · power, power_history, power_policy, set_power_policy, power_wish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import iso
from cloister.base.errors import Invalid, NotFound
from cloister.base.ids import new_id
from cloister.farm.maintenance.keeper import Upkeep
from cloister.farm.maintenance.rolling import Turn
from cloister.farm.maintenance.store import Kept, Rolling, UpkeepStore
from cloister.farm.maintenance.windows import window_from
from cloister.farm.operations import Operations, Operator
from cloister.farm.power.policy import policy_from
from cloister.farm.power.store import PowerStore

DEADLINE_SECONDS_MAX: Final = 604_800
HISTORY_HOURS_MAX: Final = 24 * 35


class UpkeepActs:
    def __init__(self, *, operations: Operations, upkeep: Upkeep, servers: UpkeepStore, power: PowerStore) -> None:
        self._operations, self._upkeep, self._servers, self._switches = operations, upkeep, servers, power
        for name in ("drain", "undrain", "maintenance", "set_window", "drop_window"):
            operations.register(name, getattr(self, f"_{name}"))
        for name in ("power", "power_history", "power_policy", "set_power_policy", "power_wish"):
            operations.register(name, getattr(self, f"_{name}"))

    # --- servers ----------------------------------------------------------------------------------------

    async def _drain(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{server | group, deadline: seconds or None, message, percent, restart}: one server, or a group in turn."""
        seconds, message = _deadline(words.get("deadline")), str(words.get("message") or "")[:500]
        now = await self._servers.now()
        if words.get("group"):
            return await self._roll(by, words, seconds, message, now)
        server = await self._one(words)
        await self._operations.noted(by, "server-drain", object=f"server/{server.id}", reason=message)
        deadline = now + timedelta(seconds=seconds) if seconds else None
        await self._upkeep.drain(server, "operator", by.name, deadline=deadline, message=message, now=now)
        return {"server": server.id, "sessions": server.sessions, "deadline": iso(deadline) if deadline else None}

    async def _roll(self, by: Operator, words: Mapping[str, Any], seconds: int, message: str, now: datetime) -> dict[str, Any]:
        group, percent = str(words["group"])[:100], words.get("percent", 10)
        members = [one for one in await self._servers.servers() if group in one.groups]
        if not members:
            raise NotFound(f"No server is of group '{group}'.", hint="See `cloister server list`.")
        if isinstance(percent, bool) or not isinstance(percent, int) or not 1 <= percent <= 100:
            raise Invalid("A percentage is a whole number from 1 to 100.", reason="percent")
        await self._operations.noted(by, "group-maintenance", object=f"group/{group}", reason=f"{percent} % at once. {message}")
        rolling = Rolling(
            id=new_id(), group=group, percent=percent, deadline=seconds, message=message, restart=words.get("restart") is True,
            by_whom=by.name, began=now,
        )  # fmt: skip
        await self._servers.roll(rolling)
        return {"rolling": rolling.id, "servers": len(members)}

    async def _undrain(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{server | group}: whatever kept it empty is taken back, and what ailed it is taken as mended."""
        if words.get("group"):
            group = str(words["group"])
            await self._operations.noted(by, "group-maintenance", object=f"group/{group}", reason="ended")
            return {"servers": await self._stop_rolling(group)}
        server = await self._one(words)
        await self._operations.noted(by, "server-undrain", object=f"server/{server.id}")
        await self._upkeep.undrain(server)
        return {"servers": 1}

    async def _stop_rolling(self, group: str) -> int:
        count = 0
        known = {one.id: one for one in await self._servers.servers()}
        for rolling in await self._servers.rollings():
            if rolling.group == group:
                for name, (turn, _) in (await self._servers.members(rolling.id)).items():
                    if turn in (Turn.EMPTYING, Turn.OUT) and name in known:
                        await self._upkeep.undrain(known[name], "rolling")
                        count += 1
                await self._servers.rolled(rolling.id, now=await self._servers.now())
        return count

    async def _maintenance(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """Everything about maintenance: windows, what goes on in which group, servers that are kept empty and how far that is."""
        servers = {one.id: one for one in await self._servers.servers()}
        rollings = []
        for rolling in await self._servers.rollings(ended=words.get("ended") is True):
            turns = await self._servers.members(rolling.id)
            counts = {str(turn): sum(one is turn for one, _ in turns.values()) for turn in Turn}
            rollings.append({**_wire(asdict(rolling)), "turns": counts})
        drains = [
            {**_wire(asdict(one)), "sessions": servers[one.server].sessions, "state": str(servers[one.server].state)}
            for one in await self._servers.drains()
            if one.server in servers
        ]
        windows = [{**_wire(asdict(window)), "last": iso(last) if last else None} for window, last in await self._servers.windows()]
        ill = [
            {"server": one.id, "ailment": str(one.illness.ailment), "since": iso(one.illness.since), "why": one.illness.why}
            for one in servers.values()
            if one.illness is not None
        ]
        return {"windows": windows, "rollings": rollings, "drains": drains, "ill": ill}

    async def _set_window(self, by: Operator, words: Mapping[str, Any]) -> dict[str, str]:
        """See windows.window_from; a new one gets its id here."""
        if not words.get("group") or words.get("start") is None:
            raise Invalid("A window needs a group and a time.", reason="window")
        window = window_from({**words, "id": words.get("id") or new_id()[-8:]})
        await self._operations.noted(by, "maintenance-window", object=f"group/{window.group}", reason=f"window {window.id}")
        await self._servers.put_window(window)
        return {"window": window.id}

    async def _drop_window(self, by: Operator, words: Mapping[str, Any]) -> None:
        window = str(words.get("window", ""))[:40]
        await self._operations.noted(by, "maintenance-window", object=f"window/{window}", reason="forgotten")
        if not await self._servers.drop_window(window):
            raise NotFound("There is no such window.", hint="See `cloister server maintenance`.")

    async def _one(self, words: Mapping[str, Any]) -> Kept:
        for one in await self._servers.servers():
            if one.id == words.get("server"):
                return one
        raise NotFound("There is no such server.", hint="See `cloister server list`.")

    # --- power --------------------------------------------------------------------------------------------

    async def _power(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """Every machine, the newest plan of each group, and the last steps."""
        machines = [_wire(asdict(row)) for row in await self._switches.machines()]
        plans = {group: _wire(turn) for group, turn in (await self._switches.last_turns()).items()}
        return {"machines": machines, "plans": plans, "steps": [_wire(step) for step in await self._switches.steps()]}

    async def _power_history(self, by: Operator, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        """{hours, group}: what was planned and what ran, a row a minute and group."""
        hours = words.get("hours", 24)
        if isinstance(hours, bool) or not isinstance(hours, int) or not 1 <= hours <= HISTORY_HOURS_MAX:
            raise Invalid("Hours are a whole number.", hint=f"From 1 to {HISTORY_HOURS_MAX}.", reason="hours")
        since = (await self._servers.now()) - timedelta(hours=hours)
        return [_wire(row) for row in await self._switches.turns(since, str(words.get("group") or ""))]

    async def _power_policy(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        return {group: policy.as_json() for group, policy in (await self._switches.policies()).items()}

    async def _set_power_policy(self, by: Operator, words: Mapping[str, Any]) -> None:
        """{group, policy}: None forgets it, and the group is then left alone."""
        group, raw = str(words.get("group") or "")[:100], words.get("policy")
        if not group or not isinstance(raw, dict | None):
            raise Invalid("A power policy is of a group.", reason="policy")
        policy = policy_from(raw) if raw is not None else None
        await self._operations.noted(by, "power-policy", object=f"group/{group}", reason="forgotten" if policy is None else "set")
        if policy is not None:
            await self._switches.set_policy(group, policy)
        elif not await self._switches.drop_policy(group):
            raise NotFound("This group has no power policy.", hint="See `cloister power policy`.")

    async def _power_wish(self, by: Operator, words: Mapping[str, Any]) -> None:
        """{server, wish: on, off or auto}."""
        server, wish = str(words.get("server", ""))[:100], str(words.get("wish", ""))
        if wish not in ("on", "off", "auto"):
            raise Invalid("A machine is wished on, off or auto.", reason="wish")
        await self._operations.noted(by, "power-switch", object=f"server/{server}", reason=wish)
        if not await self._switches.wish(server, wish):
            text = "No machine of this name can be switched."
            raise NotFound(text, hint="See `cloister power status` and docs/power.md.", reason="no-machine")


def _deadline(value: Any) -> int:
    """Seconds; none is no deadline."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= DEADLINE_SECONDS_MAX:
        raise Invalid("A deadline is at most a week away.", hint="Such as 30m, 2h or 22:30.", reason="deadline")
    return value


def _wire(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
