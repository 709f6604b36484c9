"""Another account of this machine, tried for real: a forked process that has become it, and reports what it could do."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import pickle
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from cloister.base.errors import CloisterError
from cloister.base.wire import Caller

Result = TypeVar("Result")
PTRACE_ATTACH: Final = 16
PTRACE_SEIZE: Final = 0x4206
_libc: Final = ctypes.CDLL(None, use_errno=True)


def as_account(uid: int, gid: int, work: Callable[[], Result], *, before: Callable[[int], None] | None = None) -> Result:
    """What `work` returns in a process of this account; `before` is told the process's number and runs first, as root."""
    ready_read, ready_write = os.pipe()
    told_read, told_write = os.pipe()
    child = os.fork()
    if child == 0:  # nothing here may return into pytest
        code = 1
        try:
            os.read(ready_read, 1)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            with os.fdopen(told_write, "wb") as told:
                pickle.dump(work(), told)
            code = 0
        finally:
            os._exit(code)
    os.close(told_write)
    os.close(ready_read)
    try:
        if before is not None:
            before(child)
        os.write(ready_write, b"x")
        with os.fdopen(told_read, "rb") as told:
            content = told.read()
    finally:
        os.close(ready_write)
        _, status = os.waitpid(child, 0)
    assert status == 0, f"the other account's process ended with {status}"
    return pickle.loads(content)  # noqa: S301 - from our own child


def named(attempt: Callable[[], Any]) -> str:
    """'done', or the kernel's name for the refusal."""
    try:
        attempt()
    except OSError as refused:
        return errno.errorcode.get(refused.errno or 0, str(refused.errno))
    return "done"


def ptrace(request: int, pid: int) -> None:
    if _libc.ptrace(request, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def connect(path: Path | str) -> None:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(5)
        plug.connect(str(path))
        plug.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        if not plug.recv(1):
            raise ConnectionResetError(errno.ECONNRESET, "hung up")


def against(pid: int) -> dict[str, str]:
    """Every way from this account into another process."""
    tried = {f"/proc/{name}": named(lambda name=name: os.read(os.open(f"/proc/{pid}/{name}", os.O_RDONLY), 1)) for name in PROC}
    tried["write memory"] = named(lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
    tried["list descriptors"] = named(lambda: os.listdir(f"/proc/{pid}/fd"))
    tried["its root"] = named(lambda: os.listdir(f"/proc/{pid}/root"))
    tried["attach"] = named(lambda: ptrace(PTRACE_ATTACH, pid))
    tried["seize"] = named(lambda: ptrace(PTRACE_SEIZE, pid))
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP, 0):
        tried[f"signal {int(number)}"] = named(lambda number=number: os.kill(pid, number))
    tried["its descriptor"] = named(lambda: _pidfd_getfd(pid))
    tried["its memory in one call"] = named(lambda: _process_vm_readv(pid))
    return tried


PROC: Final = ("mem", "environ", "maps", "auxv", "stack", "syscall", "io", "pagemap", "exe", "cwd/.", "task/self/mem")


def _pidfd_getfd(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    if _libc.syscall(438, descriptor, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")


def _process_vm_readv(pid: int) -> None:
    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    space = ctypes.create_string_buffer(8)
    local, remote = Vector(ctypes.addressof(space), 8), Vector(0x400000, 8)
    if _libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def calls(path: Path, wanted: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any]]:
    """('done', answer) or (reason, text) for each call to a wire of the trust."""

    async def ask() -> list[tuple[str, Any]]:
        caller, answers = Caller(path, part="other side"), []
        for method, arguments in wanted:
            try:
                answers.append(("done", await caller.call(method, timeout_seconds=10, **arguments)))
            except CloisterError as refused:
                answers.append((refused.reason or refused.category, refused.text))
        caller.close()
        return answers

    return asyncio.run(ask())
