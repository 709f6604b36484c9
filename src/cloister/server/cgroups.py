"""Limits of memory, processes and processor for each session and each program: cgroups(7), version 2 or 1.

Sessions of the record are in one slice, flat, and programs beside them in another, which is light as a whole: however many programs
run wild, together they are one small weight beside the sessions, and beside the gates, Envoy, PostgreSQL and the controller, which
are in neither. What this machine cannot limit is returned by name. Memory that a process shares with the zygote is charged to the zygote.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloister.base.process import is_root

SLICE: Final = "cloister.slice"
PROGRAMS_SLICE: Final = "cloister_programs.slice"  # beside it: to systemd a dash would mean inside it
MIB: Final = 1024 * 1024
SESSION_MEMORY_BYTES: Final = 2048 * MIB
SESSION_PROCESSES: Final = 64
SLICE_WEIGHT: Final = 400  # of all sessions together, beside PostgreSQL, gates and Envoy, which have 100 each
PROGRAMS_SLICE_WEIGHT: Final = 100  # of all programs together, as one daemon; with 20 a program took 20 s to start on a busy machine
WEIGHT: Final = 100  # among sessions, or among programs
PROGRAM_NICE: Final = 5
PROGRAM_OOM_SCORE: Final = 500  # when the machine itself is short of memory, programs go before sessions and the database
SHARES_OF_WEIGHT: Final = 10.24  # version 1 counts 1024 where version 2 counts 100
CONTROLLERS: Final = ("memory", "pids", "cpu")
WHAT: Final = {"memory": "memory", "pids": "processes", "cpu": "a fair share of the processor"}
TRIES: Final = 40
KILL_SECONDS: Final = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    memory_bytes: int = SESSION_MEMORY_BYTES
    processes: int = SESSION_PROCESSES
    weight: int = WEIGHT


@dataclass(frozen=True, slots=True)
class Tree:
    """Where this machine's limits are set: a folder for each controller; with version 2 one for all."""

    version: int
    folders: dict[str, Path]  # controller -> the slice's folder
    missing: tuple[str, ...]
    weight: int = SLICE_WEIGHT

    @property
    def programs(self) -> Tree:
        """The slice of the programs, beside this one."""
        folders = {name: folder.with_name(PROGRAMS_SLICE) for name, folder in self.folders.items()}
        return replace(self, folders=folders, weight=PROGRAMS_SLICE_WEIGHT)

    def groups(self, name: str) -> list[Path]:
        return sorted({folder / name for folder in self.folders.values()})


def find(mounts: str | None = None) -> Tree:
    """What this machine offers, by its mounts (proc_mounts(5))."""
    lines = [line.split() for line in (Path("/proc/mounts").read_text() if mounts is None else mounts).splitlines()]
    for _, point, kind, *_ in lines:
        if kind == "cgroup2":
            offered = _words(Path(point) / "cgroup.controllers")
            if set(CONTROLLERS) <= offered:
                return Tree(2, {name: Path(point) / SLICE for name in CONTROLLERS}, ())
    folders: dict[str, Path] = {}
    for _, point, kind, options, *_ in lines:
        if kind == "cgroup":
            folders |= {name: Path(point) / SLICE for name in CONTROLLERS if name in options.split(",")}
    lacking = [name for name in CONTROLLERS if name not in folders]
    return Tree(1, folders, tuple(f"limit of {WHAT[name]} for each session: this machine offers no cgroup for it" for name in lacking))


def _words(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except OSError:
        return set()


def prepare(tree: Tree) -> list[str]:
    """Make both slices, once, as root; returns what is missing, each with its reason."""
    if not is_root():
        return ["limits of memory, processes and processor for each session: need root"]
    refused: dict[str, str] = {}
    for one in (tree, tree.programs):
        for name, folder in one.folders.items():
            try:
                _make_slice(one, name, folder)
            except OSError as fault:
                refused[name] = f"limit of {WHAT[name]} for each session: the kernel refused it ({fault.strerror})"
    return [*tree.missing, *refused.values()]


def _make_slice(tree: Tree, controller: str, folder: Path) -> None:
    if tree.version == 2:
        for above in (folder.parent, folder):
            above.mkdir(exist_ok=True)
            if controller not in _words(above / "cgroup.subtree_control"):
                (above / "cgroup.subtree_control").write_text(f"+{controller}")
        if controller == "cpu":
            (folder / "cpu.weight").write_text(str(tree.weight))
        return
    folder.mkdir(exist_ok=True)
    if controller == "cpu":
        (folder / "cpu.shares").write_text(str(int(tree.weight * SHARES_OF_WEIGHT)))


def settings(version: int, limits: Limits) -> list[tuple[str, str, str]]:
    """(controller, file, value): what is written for one group. Pure."""
    if version == 2:
        return [
            ("memory", "memory.max", str(limits.memory_bytes)),
            ("memory", "memory.swap.max", "0"),
            ("memory", "memory.oom.group", "0"),
            ("pids", "pids.max", str(limits.processes)),
            ("cpu", "cpu.weight", str(limits.weight)),
        ]
    return [
        ("memory", "memory.limit_in_bytes", str(limits.memory_bytes)),
        ("memory", "memory.memsw.limit_in_bytes", str(limits.memory_bytes)),
        ("pids", "pids.max", str(limits.processes)),
        ("cpu", "cpu.shares", str(int(limits.weight * SHARES_OF_WEIGHT))),
    ]


OPTIONAL: Final = frozenset({"memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group"})  # of a kernel that does not count swap


def enter(tree: Tree, name: str, limits: Limits, pid: int = 0) -> list[str]:
    """This process, or `pid`, goes into a group of its own, and all that it starts with it; returns what could not be limited.

    The kernel first waits for all processors (RCU), often 10 ms and more: nobody should wait for it who has something else to do."""
    if not is_root():
        return []
    failed: dict[str, str] = {}
    for group in tree.groups(name):
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(group, 0o755)
    for controller, file, value in settings(tree.version, limits):
        folder = tree.folders.get(controller)
        if folder is not None and file not in OPTIONAL:
            failed |= _written(controller, folder / name / file, value)
        elif folder is not None:
            with contextlib.suppress(OSError):
                _write(folder / name / file, value)
    for controller, folder in tree.folders.items():
        failed |= _written(controller, folder / name / "cgroup.procs", str(pid))
    return [f"limit of {WHAT[controller]} for each session: {why}" for controller, why in failed.items()]


def give_way() -> None:
    """This process and what it starts let others go first, also where there are no groups: for processor and for memory.

    With autogroups (sched(7)) a process's nice counts only within its own group, so that group is lowered too: the caller leads a
    session (setsid), and nobody else is in it.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PROGRAM_NICE)
    with contextlib.suppress(OSError):
        _write(Path("/proc/self/oom_score_adj"), str(PROGRAM_OOM_SCORE))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            _write(Path("/proc/self/autogroup"), str(PROGRAM_NICE))


def _written(controller: str, path: Path, value: str) -> dict[str, str]:
    try:
        _write(path, value)
    except OSError as refused:
        return {controller: refused.strerror or "refused"}
    return {}


def _write(path: Path, value: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def remove(tree: Tree, names: Sequence[str]) -> None:
    """End whatever is left in these groups, and the groups. Blocks for a second at most."""
    for name in names:
        for group in tree.groups(name):
            for _ in range(TRIES):
                if _removed(group):
                    break
                time.sleep(KILL_SECONDS)


def _removed(group: Path) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        for pid in _words(group / "cgroup.procs"):
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        return False
    return True


def left(tree: Tree, prefix: str) -> list[str]:
    """Names of the groups of one slot that are there."""
    found: set[str] = set()
    for folder in set(tree.folders.values()):
        with contextlib.suppress(OSError):
            found |= {one for one in os.listdir(folder) if one == prefix or one.startswith(f"{prefix}-")}
    return sorted(found)


def out_of_memory_counter(tree: Tree, name: str) -> int | None:
    """A descriptor to read how often the kernel ended a process of this group for want of memory."""
    folder = tree.folders.get("memory")
    if folder is None:
        return None
    try:
        return os.open(folder / name / ("memory.events" if tree.version == 2 else "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def ended_for_memory(fd: int | None) -> int:
    if fd is None:
        return 0
    for line in os.pread(fd, 4096, 0).decode().splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0
