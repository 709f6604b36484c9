"""A PostgreSQL of the estate alone, that writes to disk as a trust's does; gone afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from cloister.base.migrations import migrate
from cloister.farm import migrations

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from postgres import Cluster, cluster  # noqa: E402


class Database:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def estate(self) -> dict[str, Any]:
        return {**self.cluster.arguments(user="cloister_estate"), "server_settings": {"jit": "off"}}

    def processor(self) -> float:
        """Seconds of processor time so far: of the server, of its processes that ended, and of those that run."""
        first = int((self.cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
        total = 0
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(place.parent.name) == first:
                total += sum(int(fields[number]) for number in range(11, 15))
            elif int(fields[1]) == first:
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    async def anew(self) -> None:
        connection = await asyncpg.connect(**self.cluster.arguments())
        await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
        await migrate(connection, migrations())
        await connection.execute("alter role cloister_estate login; checkpoint")
        await connection.close()


@contextmanager
def database() -> Iterator[Database]:
    with cluster(fsync=True) as running:
        yield Database(running)
