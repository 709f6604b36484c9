"""What is written to limit a session, for both versions of cgroups; and that a process in a group is limited, where this machine can."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cloister.server import cgroups

V2 = "cgroup2 {folder} cgroup2 rw 0 0\n"
V1 = "cgroup /cg/memory cgroup rw,memory 0 0\ncgroup /cg/pids cgroup rw,pids 0 0\ncgroup /cg/cpu cgroup rw,cpu,cpuacct 0 0\n"


def test_version_two_is_used_where_it_has_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    tree = cgroups.find(f"x {tmp_path} cgroup2 rw 0 0\n" + V1)
    assert (tree.version, tree.missing) == (2, ())
    assert tree.groups("one") == [tmp_path / cgroups.SLICE / "one"]
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    tree = cgroups.find(f"x {tmp_path} cgroup2 rw 0 0\n" + V1)
    assert tree.version == 1
    assert [str(group) for group in tree.groups("one")] == [f"/cg/{name}/cloister.slice/one" for name in ("cpu", "memory", "pids")]


def test_what_a_machine_cannot_limit_is_named() -> None:
    tree = cgroups.find("cgroup /cg/pids cgroup rw,pids 0 0\n")
    assert [line.split(" for ")[0] for line in tree.missing] == ["limit of memory", "limit of a fair share of the processor"]
    assert cgroups.find("").folders == {}


def test_what_is_written_says_the_same_in_both_versions() -> None:
    limits = cgroups.Limits(memory_bytes=512 * cgroups.MIB, processes=40, weight=200)
    two = {file: value for _, file, value in cgroups.settings(2, limits)}
    one = {file: value for _, file, value in cgroups.settings(1, limits)}
    assert two["memory.max"] == one["memory.limit_in_bytes"] == str(512 * 1024 * 1024)
    assert two["pids.max"] == one["pids.max"] == "40"
    assert (two["cpu.weight"], one["cpu.shares"]) == ("200", "2048")
    assert two["memory.swap.max"] == "0"  # keys and files of people never reach a disk this way


def test_programs_are_beside_the_sessions_and_light_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    for mounts in (f"x {tmp_path} cgroup2 rw 0 0\n", V1):
        tree = cgroups.find(mounts)
        assert {folder.name for folder in tree.folders.values()} == {"cloister.slice"}
        assert {folder.name for folder in tree.programs.folders.values()} == {"cloister_programs.slice"}
        assert [folder.parent for folder in tree.programs.folders.values()] == [folder.parent for folder in tree.folders.values()]
        assert tree.weight == 4 * tree.programs.weight


@pytest.mark.skipif(os.geteuid() != 0, reason="groups are made by root")
def test_slices_are_made_with_their_weights(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    for folder in (tmp_path, tmp_path / "cloister.slice", tmp_path / "cloister_programs.slice"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.subtree_control").write_text("cpu memory pids\n")
    assert cgroups.prepare(cgroups.find(f"x {tmp_path} cgroup2 rw 0 0\n")) == []
    assert (tmp_path / "cloister.slice/cpu.weight").read_text() == "400"
    assert (tmp_path / "cloister_programs.slice/cpu.weight").read_text() == "100"
    (tmp_path / "cpu").mkdir()
    cgroups.prepare(cgroups.find(f"cgroup {tmp_path}/cpu cgroup rw,cpu 0 0\n"))
    assert (tmp_path / "cpu/cloister.slice/cpu.shares").read_text() == "4096"
    assert (tmp_path / "cpu/cloister_programs.slice/cpu.shares").read_text() == "1024"


@pytest.mark.skipif(os.geteuid() != 0, reason="groups are made by root")
def test_programs_that_run_wild_leave_the_processor_to_a_session() -> None:
    tree = cgroups.find()
    if "cpu" not in tree.folders or cgroups.prepare(tree):
        pytest.skip(f"this machine cannot limit: {tree.missing}")
    mark, until = f"test-cpu-{os.getpid()}", time.monotonic() + 1.5
    session = _busy(tree, f"{mark}-s", until, program=False)
    programs = [_busy(tree.programs, f"{mark}-{number}", until, program=True) for number in range(4)]
    spent = []
    for pid in (session, *programs):
        _, status, used = os.wait4(pid, 0)
        assert status == 0
        spent.append(used.ru_utime)
    cgroups.remove(tree, [f"{mark}-s"])
    cgroups.remove(tree.programs, cgroups.left(tree.programs, mark))
    assert spent[0] > 2 * sum(spent[1:])  # four by the weights; some of it goes before all are in their groups


def _busy(tree: cgroups.Tree, name: str, until: float, *, program: bool) -> int:
    """A process that wants all of one processor, the same for all."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if program:
            cgroups.give_way()
        failed = cgroups.enter(tree, name, cgroups.Limits())
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        while time.monotonic() < until:
            pass
        if program and (os.getpriority(os.PRIO_PROCESS, 0), Path("/proc/self/oom_score_adj").read_text()) != (5, "500\n"):
            failed = ["does not give way"]
        os._exit(bool(failed))
    return pid


@pytest.mark.skipif(os.geteuid() != 0, reason="groups are made by root")
def test_a_process_that_forks_and_takes_memory_is_held_and_its_group_goes_with_it() -> None:
    tree = cgroups.find()
    if {"memory", "pids"} - set(tree.folders) or cgroups.prepare(tree):
        pytest.skip(f"this machine cannot limit: {tree.missing}")
    name = f"test-{os.getpid()}"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        missing = cgroups.enter(tree, name, cgroups.Limits(memory_bytes=128 * cgroups.MIB, processes=8))
        os.write(writing, f"{len(missing)} {_forks()}\n".encode())
        taken = [bytearray(16 * cgroups.MIB) for _ in range(64)]  # eight times what is allowed
        os._exit(len(taken) and 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        missing, forked = map(int, said.readline().split())
    _, status = os.waitpid(pid, 0)
    counter = cgroups.out_of_memory_counter(tree, name)
    assert (missing, forked) == (0, 7)
    assert os.waitstatus_to_exitcode(status) == -9  # the kernel ended it, and nobody else
    assert cgroups.ended_for_memory(counter) >= 1
    cgroups.remove(tree, [name])
    assert cgroups.left(tree, name) == []


def _forks() -> int:
    """How many processes could be started beside this one."""
    count = 0
    for _ in range(40):
        try:
            pid = os.fork()
        except BlockingIOError:
            break
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
    return count
