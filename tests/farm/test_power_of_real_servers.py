"""Power, whole: the controller's keeper starts real agents with real zygotes, sees them report, empties and stops them again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from postgres import Cluster, cluster

from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.database import open_pool
from cloister.base.migrations import migrate
from cloister.base.secret import Secret
from cloister.farm import Broker, EstateStore, Tickets, migrations
from cloister.farm.lease import Lease
from cloister.farm.operations import OperatingStore, Operations, Operator
from cloister.farm.power.drivers.local import LocalDriver
from cloister.farm.power.machines_file import Switched
from cloister.farm.power.policy import PowerPolicy
from cloister.farm.power.store import PowerStore, Row
from cloister.farm.upkeep import FarmUpkeep
from cloister.zones import algorithms

SERVER_TESTS = Path(__file__).parents[1] / "server"
TOKEN = "agent-token"
BOB = Operator(id="bob", name="Bob")


class Machine:
    """A server of this test: where its sockets lie, and how it is started."""

    def __init__(self, folder: Path, name: str, controller: Path) -> None:
        self.name, self.runtime = name, folder / name
        self.runtime.mkdir(mode=0o711)
        os.symlink(controller, self.runtime / "controller.sock")
        plan = {
            "server": name, "runtime": str(self.runtime), "slots": 8, "edge_uid": os.geteuid(), "edge_gid": os.getegid(),
            "controller_uid": os.geteuid(), "zygote_command": [sys.executable, str(SERVER_TESTS / "zygote_process.py")],
            "agent_token": TOKEN, "idle_lock_seconds": 600, "linger_seconds": 3600,
        }  # fmt: skip
        pinned = {"id": "t", "certificate": "00" * 32, "access": "11" * 32}
        environment = {"PYTHONPATH": str(SERVER_TESTS), "SMALL_TRUST": json.dumps(pinned), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(SERVER_TESTS / "agent_process.py"), json.dumps(plan)]
        self.driver = LocalDriver(folder / f"{name}-power", command, environment, off_seconds=15)


class Farm:
    def __init__(self, pool: Any, folder: Path, names: str) -> None:
        self.pool, self.folder = pool, folder
        self.audited: list[dict[str, str]] = []
        self.gate_calls = 0
        self.machines = {name: Machine(folder, name, folder / "controller.sock") for name in names.split()}
        self.power = PowerStore(pool)
        self.stops: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        store = EstateStore(self.pool)
        self.agents = {name: wire.Caller(one.runtime / "agent.sock", part="agent") for name, one in self.machines.items()}
        self.operations = Operations(
            store=OperatingStore(self.pool), servers=store.servers, agents=lambda server: self.agents[server], audit=self._audit,
            clock=system_clock,
        )  # fmt: skip
        upkeep = self.controller()
        broker = Broker(
            store=store, tickets=Tickets(Secret(algorithms.random(32)), clock=system_clock), agents=lambda server: self.agents[server],
            destination=lambda server, slot: "", agent_token=Secret(TOKEN.encode()), clock=system_clock, heard=upkeep.heard,
        )  # fmt: skip
        self._controller = await wire.serve(self.folder / "controller.sock", broker.answer, mode=0o600)
        while len(await self.power.machines()) < len(self.machines):
            await asyncio.sleep(0.05)
        self._gates = [await wire.serve(one.runtime / "gate.sock", self._gate, mode=0o600) for one in self.machines.values()]

    def controller(self) -> FarmUpkeep:
        """One more controller of this farm: its upkeep takes its turns from now on."""
        switched = {name: Switched(server=name, group="ward", kind="local", driver=one.driver) for name, one in self.machines.items()}
        made = FarmUpkeep(self.pool, operations=self.operations, machines=switched, power_seconds=0.5)
        stop = asyncio.Event()
        self.stops.append(stop)
        self.tasks.append(asyncio.create_task(made.run(stop)))
        return made

    async def _audit(self, entries: Any) -> None:
        self.audited += entries

    async def _gate(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if method == "session_changes":
            await asyncio.sleep(3600)
        return None

    async def act(self, name: str, **words: Any) -> Any:
        return await self.operations.answer(BOB, name, words)

    async def row(self, name: str) -> Row:
        return next(row for row in await self.power.machines() if row.server == name)

    async def until(self, name: str, holds: Callable[[Row], bool], seconds: float = 45) -> Row:
        end = asyncio.get_running_loop().time() + seconds
        while not holds(row := await self.row(name)):
            if asyncio.get_running_loop().time() > end:
                log = self.folder / f"{name}-power" / "log"
                raise AssertionError(f"{row}\n{await self.power.steps()}\n{log.read_text()[-2000:] if log.exists() else ''}")
            await asyncio.sleep(0.2)
        return row

    async def stop(self) -> None:
        for stop in self.stops:
            stop.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(one.driver.off() for one in self.machines.values()))
        self._controller.close()
        for gate in self._gates:
            gate.close()


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def farm(database: Cluster) -> AsyncIterator[Farm]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    pool = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    folder = Path(tempfile.mkdtemp(prefix="cloister-p-", dir="/tmp"))
    folder.chmod(0o711)
    made = Farm(pool, folder, "s1 s2")
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        await pool.close()
        shutil.rmtree(folder, ignore_errors=True)


def runs(row: Row) -> bool:
    return str(row.state) == "on" and row.server_state == "ready"


async def test_servers_are_started_as_the_policy_wants_replaced_when_they_die_and_stopped_when_nobody_wants_them(farm: Farm) -> None:
    await farm.act(
        "set_power_policy", group="ward", policy=PowerPolicy(ready=1, buffer=0.0, spare=0, cool_down=0, on_min=0, hold=60).as_json()
    )
    first = await farm.until("s1", runs)
    assert first.boot_seconds > 0, "how long a start takes is learnt"
    assert str((await farm.row("s2")).state) == "off"

    # Another controller takes over in the middle: the first one falls silent without a word.
    farm.tasks[0].cancel()
    await asyncio.gather(farm.tasks[0], return_exceptions=True)
    farm.controller()

    # An operator wants the second one too, and then none of both.
    await farm.act("power_wish", server="s2", wish="on")
    await farm.until("s2", runs)
    await farm.act("power_wish", server="s1", wish="off")
    stopped = await farm.until("s1", lambda row: str(row.state) == "off")
    assert stopped.server_state == "off"
    assert not (await farm.act("maintenance"))["drains"]
    await farm.act("power_wish", server="s2", wish="auto")
    await farm.until("s2", runs)

    # A policy that wants none: it is emptied, then stopped, and its processes are gone.
    await farm.act(
        "set_power_policy", group="ward", policy=PowerPolicy(ready=0, buffer=0.0, spare=0, cool_down=0, on_min=0, hold=60).as_json()
    )
    await farm.until("s2", lambda row: str(row.state) == "off")
    assert str(await farm.machines["s2"].driver.seen()) == "off"
    steps = [(one["server"], one["action"]) for one in reversed(await farm.power.steps())]
    for wanted in (("s1", "start"), ("s1", "hello"), ("s2", "start"), ("s1", "empty"), ("s1", "stop"), ("s1", "gone"), ("s2", "stop")):
        assert wanted in steps
    assert await farm.act("power_history", hours=1)
    assert {"power-policy", "power-switch"} <= {entry["action"] for entry in farm.audited}


async def test_a_group_is_started_anew_in_turn_by_its_driver(farm: Farm) -> None:
    for name in ("s1", "s2"):
        await farm.act("power_wish", server=name, wish="on")
    for name in ("s1", "s2"):
        await farm.until(name, runs)
    before = {name: (await farm.row(name)).started for name in ("s1", "s2")}
    await farm.act("drain", group="default", percent=50, restart=True, deadline=30)
    for name in ("s1", "s2"):
        await farm.until(name, lambda row: row.started != before[row.server] and runs(row), seconds=60)
    for _ in range(50):
        if not (await farm.act("maintenance"))["rollings"]:
            break
        await asyncio.sleep(0.2)
    found = await farm.act("maintenance", ended=True)
    assert found["rollings"][0]["turns"]["done"] == 2
    assert not found["drains"]


async def test_an_ill_server_is_named_and_given_back(farm: Farm) -> None:
    await farm.act("power_wish", server="s1", wish="on")
    await farm.until("s1", runs)
    await FarmUpkeep.heard(farm.controller(), "s1", {"spawns_failed": 5}, "")
    await farm.pool.execute("update estate.health set facts = '{\"spawns_failed\": 5}' where server = 's1'")
    ill = await farm.until("s1", lambda row: row.server_state == "unhealthy", seconds=20)
    assert ill.sessions == 0
    assert "sessions fail to start" in (await farm.act("maintenance"))["ill"][0]["why"]
    await farm.act("undrain", server="s1")
    await farm.until("s1", runs)


async def test_the_lease_is_left_when_a_controller_stops(farm: Farm) -> None:
    for _ in range(50):
        if await farm.pool.fetchval("select count(*) from estate.lease"):
            break
        await asyncio.sleep(0.1)
    assert not await Lease(farm.pool, "upkeep", "another").held()
    farm.stops[0].set()
    await farm.tasks[0]
    assert await Lease(farm.pool, "upkeep", "another").held()
