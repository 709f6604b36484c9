"""New rules on fifty servers: from the commit to the moment at which the last of them decides by the new version.

Each simulated server is what a store gate and a session do: a listening connection of its own, the row read, the signature verified, the
Cedar text parsed. All fifty share this process and one PostgreSQL.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.measure import Result, at_most, percentile
from cloister.access import rules
from cloister.base.secret import Secret
from cloister.zones import TrustRoots, algorithms, envelope

SERVERS: Final = 50
TIMES: Final = 5
GOAL_SECONDS: Final = 1.0
NEWEST: Final = "select body from trust.rules order by version desc limit 1"
SCHEMA: Final = """
    create schema trust;
    create function trust.say(p_what text, p_whom text) returns void language sql as $$
        select pg_notify('cloister_trust', p_what || ' ' || p_whom) $$;
    create role cloister_gate login; create role cloister_estate login; grant usage on schema trust to cloister_gate;
"""


async def run() -> list[Result]:
    with _postgres().cluster() as server:
        server.stop()
        with (server.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"max_connections = {SERVERS + 20}\n")
        server.start()
        owner = await asyncpg.connect(**server.arguments())
        await owner.execute(SCHEMA)
        await owner.execute((Path(rules.__file__).parents[2] / "identity" / "migrations" / "011_rules.sql").read_text())
        took = await _measured(owner, server.arguments(user="cloister_gate"))
        await owner.close()
    return [at_most(f"new rules in force on the last of {SERVERS} servers, worst of {TIMES}", max(took), "s", GOAL_SECONDS)]


async def _measured(owner: Any, arguments: dict[str, Any]) -> list[float]:
    seed = algorithms.random(32)
    roots = TrustRoots("bench", algorithms.sign_public(algorithms.random(32)), algorithms.sign_public(seed), None)  # type: ignore[arg-type]
    servers = [Server(await asyncpg.connect(**arguments), roots) for _ in range(SERVERS)]
    for one in servers:
        await one.begin()
    took = []
    for version in range(1, TIMES + 1):
        blob = rules.signed(rules.read_folder(rules.USUAL, version), envelope.access_root(Secret(seed)), "bench")
        await owner.execute("insert into trust.rules (version, body) values ($1, $2)", version, blob)
        began = time.monotonic()
        ends = await asyncio.gather(*(one.reached(version) for one in servers))
        took.append(percentile(ends, 100) - began)
    for one in servers:
        await one.connection.close()
    return took


class Server:
    def __init__(self, connection: Any, roots: TrustRoots) -> None:
        self.connection = connection
        self._roots = roots
        self._news: asyncio.Queue[str] = asyncio.Queue()

    async def begin(self) -> None:
        await self.connection.add_listener("cloister_trust", lambda _c, _pid, _channel, payload: self._news.put_nowait(str(payload)))

    async def reached(self, version: int) -> float:
        """The moment at which this version is in force here."""
        while True:
            await self._news.get()
            found = rules.opened(bytes(await self.connection.fetchval(NEWEST)), self._roots)
            if found.version >= version:
                return time.monotonic()


def _postgres() -> Any:
    """The tests' own cluster: a PostgreSQL in a folder, gone afterwards."""
    path = Path(__file__).parents[2] / "tests" / "postgres.py"
    spec = importlib.util.spec_from_file_location("postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["postgres"] = module
    spec.loader.exec_module(module)
    return module
