"""Processes and accounts: who runs as whom, giving up root for good, and kernel calls that Python lacks.

prctl(2), unshare(2), capabilities(7) "Effect of user ID changes on capabilities". A process imports
everything it needs first and gives up root afterwards: a lesser account may not read the interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import grp
import os
import pwd
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Unavailable

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
USERADD_SECONDS_MAX: Final = 30
COLLECTIONS: Final = (20_000, 20, 100)

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system, by number; the name is for people."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    return os.geteuid() == 0


def own_account() -> Account:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, os.getegid())


def known_account(name: str) -> Account | None:
    try:
        row = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(row.pw_name, row.pw_uid, row.pw_gid)


def system_account(name: str) -> Account:
    """The account of this name, made if need be; without root, everything runs as the caller's own account."""
    if not is_root():
        return own_account()
    known = known_account(name)
    if known is not None:
        return known
    command = shutil.which("useradd") or "/usr/sbin/useradd"
    arguments = [command, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    arguments += ["--gid", name] if _group_exists(name) else ["--user-group"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([*arguments, name], check=False, capture_output=True, timeout=USERADD_SECONDS_MAX)
    known = known_account(name)  # also found when another process made it meanwhile
    if known is None:
        raise Unavailable(f"There is no account '{name}' and it could not be made.", hint=f"As root: useradd --system --user-group {name}")
    return known


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def drop_to(account: Account, *, groups: Sequence[int] = ()) -> None:
    """Become this account for good: no groups but these, no saved ids, no new privileges, no core dump.

    Without root it only does the part that needs none.
    """
    if is_root() and account.uid != 0:
        os.setgroups(groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
        _assert_root_is_gone()
    forbid_new_privileges()
    forbid_dumps()  # after the ids changed: setresuid(2) resets the flag


def _assert_root_is_gone() -> None:
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise AssertionError("Root could be regained after it was given up.")


def forbid_new_privileges() -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def forbid_dumps() -> None:
    """No core file, and no ptrace(2), /proc/PID/mem or /proc/PID/environ for other processes of this account."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Orphaned descendants become children of this process, so that it can reap them."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Ask for this signal when the parent ends. Lost at a change of ids: call it afterwards."""
    prctl(PR_SET_PDEATHSIG, number)


def name_process(name: str) -> None:
    """The name in `ps` and `top`: at most 15 bytes of it."""
    _libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def system_call(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """A bare system call; raises OSError with the kernel's number."""
    converted = [ctypes.c_ulong(a) if isinstance(a, int) else (a or ctypes.c_void_p(None)) for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def return_free_memory() -> None:
    """Give free pages of the heap back to the kernel (malloc_trim(3)); other C libraries than glibc have none."""
    with contextlib.suppress(AttributeError):
        _libc.malloc_trim(0)


def start_time(pid: int) -> int | None:
    """The process's start in clock ticks since boot: with the pid, it names one process for ever (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name in brackets may hold spaces
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def memory_used() -> float:
    """The share of this machine's memory that cannot be had any more (proc(5), MemAvailable); 0 where that is not told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0.0
    facts = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
    total = facts.get("MemTotal", 0)
    return 1 - facts.get("MemAvailable", total) / total if total else 0.0


def collect_seldom() -> None:
    """For a process that answers many small questions: the usual 700 new objects walk through them again and again."""
    gc.set_threshold(*COLLECTIONS)


def keep_for_good() -> None:
    """What is here now stays: the collector leaves it alone, so that a full collection takes milliseconds and not a tenth of a second."""
    gc.collect()
    gc.freeze()
