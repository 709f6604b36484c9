"""A second person's process tries to reach the first one's. Every way is tried for real, and every way is shut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import ticket_words
from server_rig import IN_ONE_LOOP, NEEDS_ROOT, Rig, running_server

pytestmark = IN_ONE_LOOP

as_root = pytest.mark.skipif(NEEDS_ROOT, reason="only root can give sessions user ids of their own")


@as_root
async def test_nothing_is_missing_on_this_machine(server: Rig) -> None:
    await server.sign_in("adele")
    assert (await server.agent_caller.call("list"))["missing"] == []


async def test_bruno_cannot_read_adeles_memory_environment_or_files(server: Rig) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    pid = await adele.pid()
    for name in ("mem", "environ", "maps", "cmdline", "fd/2", "root"):
        assert await bruno.attempt("open", f"/proc/{pid}/{name}") == "EACCES", name
    for path in ("/etc/passwd", __file__, sys.executable, str(server.folder / "sessions" / "0.json"), "/proc/self/environ", "/dev/shm/x"):
        assert await bruno.attempt("open", path) == "EACCES", path
        assert await bruno.attempt("stat", path) == "EACCES", path
        assert await bruno.attempt("write", path) == "EACCES", path
    assert await bruno.attempt("list", "/proc") == "EACCES"
    assert (await adele.get("/")).status_code == 200


async def test_bruno_cannot_signal_adele(server: Rig) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    for way in ("signal", "pidfd"):
        assert await bruno.attempt(way, await adele.pid()) == "EPERM"
    assert await bruno.attempt("signal", os.getpid()) == "EPERM"
    assert (await adele.get("/")).status_code == 200


@pytest.mark.parametrize("way", ["ptrace", "vm-read", "exec"])
async def test_an_intruder_in_brunos_process_dies_with_it(server: Rig, way: str) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    on = "/bin/true" if way == "exec" else await adele.pid()
    assert await bruno.attempt(way, on) == "died"
    await server.until(lambda: server.store.state(bruno.started.session) == "ended")
    assert (await adele.get("/")).status_code == 200


async def test_bruno_cannot_use_adeles_slot_nor_the_agents_ways(server: Rig) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    slot = server.folder / "slots" / f"{adele.started.slot}.sock"
    control = server.folder / "control" / f"{adele.started.slot}.sock"
    if not NEEDS_ROOT:
        for path in (slot, control, server.folder / "controller.sock", server.folder / "slots" / f"{bruno.started.slot}.sock"):
            assert await bruno.attempt("connect", path) == "EACCES"
    assert (await adele.get("/", sid=bruno.started.session)).status_code == 421


async def test_bruno_has_no_network_no_children_and_no_way_back(server: Rig) -> None:
    bruno = await server.open("bruno")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert await bruno.attempt("tcp", listener.getsockname()[1]) == "EAFNOSUPPORT"
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0cloister-test-{os.getpid()}")
        abstract.listen()
        assert await bruno.attempt("abstract", f"cloister-test-{os.getpid()}") in ("EPERM", "ECONNREFUSED")
    for way in ("fork", "root", "dumpable", "executable-memory"):
        assert await bruno.attempt(way) == "EPERM", way
    assert await bruno.attempt("late-import") == "EACCES"
    assert await bruno.attempt("thread") == "done", "threads are honest"
    assert (await bruno.get("/")).status_code == 200


@as_root
async def test_sockets_are_for_the_edge_alone() -> None:
    async with running_server(edge_uid=65_534, edge_gid=65_534) as server:
        adele = await server.sign_in("adele")
        slot = server.folder / "slots" / f"{adele.started.slot}.sock"
        folder, facts = slot.parent.stat(), slot.stat()
        assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, 65_534, 0o710)
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (210_000 + adele.started.slot, 65_534, 0o660)
        control = (server.folder / "control").stat()
        assert (control.st_uid, stat.S_IMODE(control.st_mode)) == (0, 0o700)
        assert await adele.attempt("thread") == "died", "even root is not the edge"
        who = f"{ticket_words.HEADER}: {ticket_words.payload(sid=adele.started.session, person='adele', epoch=1)}"
        as_edge = _connect_as(65_534, slot, f"GET / HTTP/1.1\r\nhost: x\r\n{who}\r\n\r\n")
        assert as_edge.startswith(b"HTTP/1.1 401")
        assert _connect_as(210_000 + adele.started.slot, slot, "GET / HTTP/1.1\r\n\r\n") == b"EACCES"
        assert _connect_as(65_533, slot, "GET / HTTP/1.1\r\n\r\n") == b"EACCES"


def _connect_as(uid: int, path: Path, request: str) -> bytes:
    """What a process of this user gets from the socket; a child of its own, because ids are the whole process's."""
    code = (
        "import os,socket,sys,errno\n"
        "os.setgroups([]); os.setresgid(*[int(sys.argv[1])]*3); os.setresuid(*[int(sys.argv[1])]*3)\n"
        "s=socket.socket(socket.AF_UNIX)\n"
        "try:\n s.connect(sys.argv[2]); s.sendall(sys.argv[3].encode()); out=s.recv(200)\n"
        "except OSError as e: out=errno.errorcode[e.errno].encode()\n"
        "os.write(1,out)"
    )
    return subprocess.run([sys.executable, "-c", code, str(uid), str(path), request], capture_output=True, timeout=20).stdout


@as_root
async def test_another_user_of_the_machine_cannot_look_into_adeles_process(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    status = Path(f"/proc/{pid}/status").read_text()
    uid = 210_000 + adele.started.slot
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status
    assert "Groups:\t \n" in status
    assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()
    for other in (uid, 65_534):  # even a process of her own user id, because the process is not dumpable
        code = (
            "import os,sys\n"
            "os.setgroups([]); os.setresgid(*[int(sys.argv[1])]*3); os.setresuid(*[int(sys.argv[1])]*3)\n"
            "for n in ('mem','environ','maps','fd'):\n"
            " try: os.open(f'/proc/{sys.argv[2]}/{n}', os.O_RDONLY); print('open', n)\n"
            " except PermissionError: pass\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(other), str(pid)], capture_output=True, text=True, timeout=20)
        assert (done.stdout, done.stderr) == ("", "")


@as_root
async def test_a_process_that_nobody_admitted_gets_nothing_from_the_agent(server: Rig) -> None:
    await server.open("adele")
    assert b"no session of this server" in _call_agent_as(65_533, server.folder / "agent.sock")


def _call_agent_as(uid: int, path: Path) -> bytes:
    from cloister.base.wire import pack

    code = (
        "import os,socket,sys\n"
        "os.setgroups([]); os.setresgid(*[int(sys.argv[1])]*3); os.setresuid(*[int(sys.argv[1])]*3)\n"
        "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]); s.sendall(bytes.fromhex(sys.argv[3])); os.write(1,s.recv(2000))"
    )
    request = pack([1, "list", {}]).hex()
    return subprocess.run([sys.executable, "-c", code, str(uid), str(path), request], capture_output=True, timeout=20).stdout


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _links_of(pid: int) -> set[str]:
    with contextlib.suppress(OSError):
        return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    return set()


async def test_a_sessions_descriptors_are_only_its_own(server: Rig) -> None:
    adele = await server.open("adele")
    if NEEDS_ROOT:
        pytest.skip("the descriptors of a closed process are for root to see")
    pid = await adele.pid()
    await adele.http.aclose()
    await asyncio.sleep(0.2)
    links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert links[0] == links[1] == "/dev/null"
    assert links[2].endswith("/log")
    assert all(link.startswith(("socket:", "anon_inode:", "pipe:")) for fd, link in links.items() if fd > 2), links
    pipes = {link for link in links.values() if link.startswith("pipe:")}  # the loop's own, by which signals reach it
    assert pipes.isdisjoint(link for other in _processes() if other != pid for link in _links_of(other))
    assert len(links) <= 14, "slot, control, loop (6), agent (2), gate"


async def test_a_fault_says_where_it_is_and_quotes_no_record(server: Rig) -> None:
    adele = await server.open("adele")
    assert (await adele.get("/fail")).status_code == 500
    assert (await adele.get("/")).status_code == 200
    log = server.log.read_text()
    assert '"event": "session.request_fault"' in log
    assert "zygote_process.py:" in log
    assert "Lopez" not in log
    assert "Traceback" not in log
