"""Encrypted folders for tests: keys of a zone, and mounts in processes of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cloister.base.secret import Secret
from cloister.files import place, verifying
from cloister.zones import files

TRUST: Final = "demo-trust"
ZONE: Final = "0190aaaa-0000-7000-8000-000000000001"
OTHER_ZONE: Final = "0190aaaa-0000-7000-8000-000000000002"
HERE: Final = Path(__file__).parent
_libc: Final = ctypes.CDLL(None, use_errno=True)


def why_no_mount() -> str:
    if os.geteuid() != 0:
        return "mounting in the tests' own namespace needs root"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as refused:
        return f"/dev/fuse: {refused.strerror}"
    return ""


needs_fuse = pytest.mark.skipif(bool(why_no_mount()), reason=why_no_mount() or "-")


def zone_keys(*epochs: int, zone: str = ZONE, writes: bool = True) -> files.FileKeys:
    """The same keys every time: of this zone and epoch."""
    secrets = {number: Secret(files.algorithms.sha256(f"{zone}/{number}".encode())) for number in epochs or (1,)}
    return files.FileKeys(TRUST, zone, secrets, writes=writes)


@dataclass
class Mount:
    """One mounted folder, and the process that serves it."""

    point: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        """What was refused, once the mount has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def kill(self) -> None:
        """kill -9, and the kernel's half is taken away."""
        self.process.kill()
        self.process.wait()
        detach(self.point)

    def leave(self) -> str:
        detach(self.point)
        self.process.wait(60)
        return self.log()


def detach(point: Path) -> None:
    _libc.umount2(os.fsencode(str(point)), 2)


def begin(keys: files.FileKeys, folder: Path, point: Path) -> Mount:
    point.mkdir(exist_ok=True)
    secrets = keys.revealed()
    words = [str(folder), str(point), keys.trust, keys.zone, "writes" if keys.writes else "reads", *map(str, secrets)]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "mount_process.py"), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"".join(secrets.values()))
    process.stdin.close()
    if process.stdout.readline() != b"mounted\n":
        raise AssertionError(process.stderr.read().decode() if process.stderr else "")
    return Mount(point, process)


@contextlib.contextmanager
def mounted(keys: files.FileKeys, folder: Path, point: Path) -> Iterator[Mount]:
    mount = begin(keys, folder, point)
    try:
        yield mount
    finally:
        detach(point)
        with contextlib.suppress(subprocess.TimeoutExpired):
            mount.process.wait(10)
        mount.process.kill()


def new_folder(parent: Path, name: str = "stored") -> Path:
    folder = parent / name
    folder.mkdir()
    place.make(folder, zone_keys())
    return folder


def faults(folder: Path, keys: files.FileKeys | None = None) -> list[tuple[str, str]]:
    """(folder, reason) of everything that does not verify."""
    done = verifying.Verified()
    return [(fault.where, str(fault.reason)) for fault in verifying.verify(keys or zone_keys(), folder, done, seen={}, rewrap=False)]


def stored_documents(folder: Path) -> list[Path]:
    """The sealed documents, largest first."""
    return sorted((one for one in folder.iterdir() if one.is_file() and one.name[0] == "="), key=lambda one: -one.stat().st_size)
