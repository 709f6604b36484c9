"""Mounts and the root of a process, which Python lacks: mount(2), umount2(2), pivot_root(2)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from cloister.base.errors import Unavailable
from cloister.base.process import system_call

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MS_SLAVE, MNT_DETACH = 0x4000, 1 << 18, 1 << 19, 2
PIVOT_ROOT: Final = 155  # x86-64
PIVOT_ROOT_ELSEWHERE: Final = 41  # the number of the generic table: arm64, riscv64

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()) != 0:
        number = ctypes.get_errno()
        hint = "Mounting needs root or user namespaces (kernel.unprivileged_userns_clone)."
        raise Unavailable(f"{target} cannot be mounted: {os.strerror(number)}.", hint=hint)


def detach(point: Path) -> None:
    if _libc.umount2(os.fsencode(str(point)), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise Unavailable(f"{point} cannot be unmounted: {os.strerror(number)}.")


def show(source: str, target: Path, *, flags: int = MS_RDONLY | MS_NOSUID | MS_NODEV) -> None:
    """Bind a file or folder at another place, with all that is mounted below; read-only unless said otherwise.

    The flags hold for the mount itself: a further mount below a folder keeps its own.
    """
    mount(source, str(target), "", MS_BIND | MS_REC)
    mount("none", str(target), "", MS_BIND | MS_REMOUNT | flags)


def become_root(folder: Path) -> None:
    """This folder, a mount of its own, is `/` from now on; what was the root before is nowhere."""
    os.chdir(folder)
    here = ctypes.c_char_p(b".")
    number = PIVOT_ROOT if os.uname().machine == "x86_64" else PIVOT_ROOT_ELSEWHERE
    system_call(number, ctypes.cast(here, ctypes.c_void_p), ctypes.cast(here, ctypes.c_void_p))
    detach(Path("."))
    os.chdir("/")
