"""The folders of one trust on one machine: claimed by one `up` at a time, checked before anything starts.

State is kept for ever and is private; runtime holds sockets and is made anew at every start.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Conflict, Invalid, Unavailable
from cloister.base.process import is_root
from cloister.base.secret import Secret
from cloister.base.settings import Settings

LOG_BYTES_KEPT: Final = 10 * 1024 * 1024
# Only what we make ourselves is ever removed from the runtime folder, because its path is a setting.
OURS: Final = ("edge", "database", "ingress", "farm")


@dataclass(slots=True)
class Claim:
    """While this is open, no other `up` runs on the same folder."""

    descriptor: int

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def _folder(path: Path, mode: int, variable: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if path.stat().st_uid == os.geteuid():
            path.chmod(mode)
    except OSError as refused:
        raise Invalid(
            f"The folder {path} cannot be made: {refused.strerror}.", hint=f"Set {variable} to a folder that this user may write."
        ) from refused
    if not os.access(path, os.W_OK | os.X_OK):
        raise Invalid(f"The folder {path} is not writable.", hint=f"Set {variable} to a folder that this user may write.")


def claim_state(settings: Settings) -> Claim:
    """Make the state folder and lock it; Conflict names the `up` that has it."""
    _folder(settings.state, 0o700, "CLOISTER_STATE")
    for name, mode in (("secrets", 0o700), ("logs", 0o700), ("public", 0o755), ("demo", 0o700)):
        _folder(settings.state / name, mode, "CLOISTER_STATE")
    return _claim(settings.state, "CLOISTER_STATE")


def claim_runtime(settings: Settings) -> Claim:
    """Make the runtime folder and lock it: two trusts that were given the same one would take each other's sockets."""
    _folder(settings.runtime, 0o755 if is_root() else 0o700, "CLOISTER_RUNTIME")
    _safe_runtime(settings.runtime)
    return _claim(settings.runtime, "CLOISTER_RUNTIME")


def _claim(folder: Path, variable: str) -> Claim:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        other = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise Conflict(
            f"Another `cloister up` (process {other or '?'}) already runs on {folder}.",
            hint=f"Stop it with Ctrl-C in its window, or set {variable} to another folder.",
        ) from taken
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return Claim(descriptor)


def _safe_runtime(runtime: Path) -> None:
    """A folder under /tmp that somebody else made could hold sockets of theirs."""
    found = runtime.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Invalid(f"The runtime folder {runtime} belongs to somebody else.", hint="Set CLOISTER_RUNTIME to a folder of your own.")


def prepare_runtime(settings: Settings) -> None:
    """The claimed runtime folder, empty of what an earlier run left. Sessions' slots are the agent's to tidy."""
    if is_root():
        _reachable(settings.runtime)
    for name in OURS:
        shutil.rmtree(settings.runtime / name, ignore_errors=True)
    for left in settings.runtime.glob("*.sock"):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    for name in OURS:
        _folder(settings.runtime / name, 0o700, "CLOISTER_RUNTIME")


def _reachable(runtime: Path) -> None:
    """As root, parts run under accounts of their own, which must be able to walk to their sockets."""
    for above in runtime.parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            raise Invalid(
                f"The runtime folder {runtime} lies inside the private folder {above}.",
                hint="Set CLOISTER_RUNTIME to a folder that every account can walk to, such as /run/cloister.",
            )


def check_port(settings: Settings) -> None:
    """The address and port are free and allowed; said before anything starts."""
    try:
        ipaddress.ip_address(settings.address)
    except ValueError:
        raise Invalid(f"'{settings.address[:60]}' is no address.", hint="Set CLOISTER_ADDRESS to an IP address, such as 0.0.0.0.") from None
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.address, settings.port))
        except PermissionError as refused:
            raise Invalid(
                f"This user may not listen on port {settings.port}.", hint="Set CLOISTER_PORT to a port above 1023, or run as root."
            ) from refused
        except OSError as refused:
            raise Unavailable(
                f"Cannot listen on {settings.address} port {settings.port}: {refused.strerror}.",
                hint="Another program has this port: set CLOISTER_PORT to a free one, or CLOISTER_ADDRESS to an address of this machine.",
            ) from refused


def secret_file(settings: Settings, name: str, size: int = 32) -> Path:
    """A file of this trust's secrets, made with fresh random text when it is missing; never printed."""
    path = settings.secrets_folder / name
    write_once(path, secrets.token_urlsafe(size).encode())
    return path


def seed_file(settings: Settings, name: str) -> Secret:
    """32 random bytes of this trust's secrets, made when they are missing."""
    path = settings.secrets_folder / name
    write_once(path, secrets.token_bytes(32))
    return Secret(path.read_bytes())


def write_once(path: Path, content: bytes) -> None:
    """Write a private file unless it exists; whole or not at all."""
    if path.exists():
        return
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def open_log(settings: Settings, part: str) -> int:
    """A descriptor that appends to the part's log; a log that has grown large is put aside once."""
    path = settings.logs / f"{part}.log"
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_KEPT:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_tail(settings: Settings, part: str, lines: int = 8) -> str:
    try:
        with (settings.logs / f"{part}.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def service_token(settings: Settings, service: str) -> str:
    return secret_file(settings, f"{service}.token").read_text().strip()
