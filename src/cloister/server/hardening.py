"""A session's walls: own user id, no way back to root, no dump, no file, no network, few system calls.

Every step is irrevocable and inherited. What this machine cannot offer is returned by name, with the reason,
and shown in the live status; nothing is left out in silence. Order matters: see each step.
"""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Final

from cloister.base.process import Account, drop_to, is_root, unshare
from cloister.server import landlock, seccomp

CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWNET: Final = 0x40000000
FILES_OPEN_MAX: Final = 1024
MEMORY_BYTES_MAX: Final = 4 * 1024**3  # private data; a runaway import ends itself, not its neighbours


def harden(account: Account) -> tuple[str, ...]:
    """Wall this process in as the given account; returns the protections that are missing, each with its reason."""
    missing: list[str] = []
    os.umask(0o077)
    if is_root():
        missing += _own_namespaces()  # needs root, so before it is given up; inherited sockets keep working
    else:
        missing.append("own user id for each session: needs root; sessions share one account, so only their memory is closed to each other")
        missing.append("own network and IPC namespace: needs root; the system-call filter still allows UNIX sockets only")
    _limit_resources()
    drop_to(account)
    missing += landlock.forbid_files_and_tcp()
    missing += seccomp.install()  # last: the steps before need calls that it refuses
    return tuple(missing)


def swap_in_use() -> list[str]:
    """Whether the kernel may write pages with keys to a disk."""
    try:
        areas = Path("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return []
    on_disk = [area for area in areas if not area.startswith("/dev/zram")]
    return ["keys only in memory: swap is on; turn it off (swapoff -a), or encrypt it"] if on_disk else []


def _own_namespaces() -> list[str]:
    try:
        unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    except OSError as refused:
        return [f"own network and IPC namespace: the kernel refused it ({errno.errorcode.get(refused.errno or 0, '?')})"]
    return []


def _limit_resources() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES_OPEN_MAX if hard == resource.RLIM_INFINITY else min(FILES_OPEN_MAX, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    data = MEMORY_BYTES_MAX if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES_MAX, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
