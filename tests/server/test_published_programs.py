"""A published program: what it sees and cannot reach, why it ended, what it leaves (nothing), what may pass."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from programs_rig import PROGRAM_UID, left_behind, program, screen_process, why_not

from cloister.base.errors import Denied, Invalid
from cloister.server.passes import PASS_SECONDS, Passes
from cloister.server.programs import display
from cloister.server.programs.plan import ProgramKind, Rules, read_settings, split_reach
from cloister.server.programs.rfb import PROVIDE, TEXT, FromBrowser, cut_text
from cloister.server.programs.running import NEXT, ProgramEvent, ProgramState

needs_programs = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
TERMINAL = ("xterm", "-e", "bash", "--norc")
HELLO = b"RFB 003.008\n" + b"\x01" + b"\x01"
KEY = b"\x04\x01\x00\x00\x00\x00\x00\x61"
CUT = b"\x06\x00\x00\x00\x00\x00\x00\x05hello"


# --- walls ---------------------------------------------------------------------------------------------------


@needs_programs
@pytest.mark.asyncio
async def test_a_program_sees_a_read_only_machine_with_nobody_else_and_no_network(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another")
    async with program(tmp_path, *TERMINAL) as one:
        said = await one.shell(
            "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; touch /usr/x /etc/x /x; cat " + str(secret)
            + "; ls /home /srv /root; ls -d /proc/[0-9]* | wc -l; cat /proc/net/dev | wc -l; unshare -U true; mount -t tmpfs x /tmp;"
            " cat /etc/shadow; (exec 3<>/dev/tcp/192.0.2.1/80); python3 -c 'import socket; socket.socket(40, 1, 0)'; id -G"
        )  # fmt: skip
        lines = said.splitlines()
        assert lines[0] == str(PROGRAM_UID)
        assert lines[1:4] == ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        assert said.count("Read-only file system") == 3
        assert "of another" not in said
        assert "person" in said.split("/home:")[1]
        assert "'/root': No such file" in said
        assert "Address family not supported" in said  # AF_VSOCK, which no network namespace holds back
        assert "Network is unreachable" in said
        for refused in ("unshare failed", "mount:", "/etc/shadow: No such file"):
            assert refused in said
        assert int(next(line for line in lines if line.isdigit() and line != str(PROGRAM_UID))) < 15  # its own processes only
    assert left_behind() == []


@needs_programs
@pytest.mark.asyncio
async def test_a_program_reaches_what_is_allowed_and_nothing_beside_it(tmp_path: Path) -> None:
    allowed, other = _greeting("allowed"), _greeting("other")
    async with program(tmp_path, *TERMINAL, reaches=(f"localhost:{allowed}",)) as one:
        asks = (f"localhost/{allowed}", f"127.0.0.1/{other}", f"192.0.2.7/{allowed}")
        said = await one.shell("; ".join(f"(cat < /dev/tcp/{one})" for one in asks))
        assert said.startswith("allowed")
        for refused in (f"127.0.0.1/{other}", f"192.0.2.7/{allowed}"):
            assert f"{refused}: Connection refused" in said  # at once, by the namespace's own kernel
        assert "\nother\n" not in said


def _greeting(word: str) -> int:
    """A server on this machine that says one word to everybody."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            with listener.accept()[0] as guest:
                guest.sendall(f"{word}\n".encode())

    threading.Thread(target=greet, daemon=True).start()
    return int(listener.getsockname()[1])


# --- ends ------------------------------------------------------------------------------------------------------


@needs_programs
@pytest.mark.asyncio
async def test_each_end_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    async with program(tmp_path, "no-such-program") as one:
        assert ((await one.over()).why, one.running.ended.said) == ("missing", "no-such-program")
    async with program(tmp_path, "sh", "-c", "sleep 0.3; echo the disk is full >&2; exit 3") as one:
        ended = await one.over()
        assert (ended.why, ended.status, ended.said.strip()) == ("program", 3, "the disk is full")
    async with program(tmp_path, *TERMINAL) as one:
        assert one.running.state is ProgramState.RUNNING
        os.kill(screen_process(), signal.SIGKILL)
        assert (await one.over()).why == "screen"
    async with program(tmp_path, *TERMINAL) as one:
        one.keeper.send_signal(signal.SIGKILL)
        assert (await one.over()).why == "lost"
    deadline = time.monotonic() + 5
    while left_behind() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert left_behind() == []


@needs_programs
@pytest.mark.asyncio
async def test_a_fork_bomb_and_a_memory_hog_meet_the_programs_own_limits(tmp_path: Path) -> None:
    limits = {"memory_bytes": 192 * 1024 * 1024, "processes": 40}
    async with program(tmp_path, *TERMINAL, **limits) as one:
        said = await one.shell("for i in $(seq 80); do sleep 20 & done; ls -d /proc/[0-9]* | wc -l")
        assert "Resource temporarily unavailable" in said
        began = time.monotonic()
        one.running.end("asked")
        await asyncio.to_thread(one.keeper.wait, 20)
        assert time.monotonic() - began < 5  # forty processes are no obstacle
    async with program(tmp_path, "sh", "-c", "sleep 0.3; exec tail /dev/zero", **limits) as one:
        assert (await one.over()).why == "memory"
    assert left_behind() == []


# --- what passes -----------------------------------------------------------------------------------------------------


@needs_programs
@pytest.mark.asyncio
async def test_files_pass_only_in_the_directions_that_are_allowed_and_never_out_of_their_folder(tmp_path: Path) -> None:
    async with program(tmp_path, *TERMINAL, rules=Rules(transfer_in=True)) as one:
        name, fd = await one.running.new_file("C:\\fakepath\\../../letter.txt")
        os.write(fd, b"Dear Mrs Lopez")
        os.close(fd)
        assert name == "letter.txt"
        second, fd = await one.running.new_file("letter.txt")
        os.close(fd)
        assert second == "letter (2).txt"
        for refused in (one.running.files(), one.running.file("letter.txt")):
            with pytest.raises(Denied):
                await refused
    async with program(tmp_path, *TERMINAL, rules=Rules(transfer_out=True)) as one:
        (await one.look()).type("ln -s /etc/passwd ~/Exchange/link; mkfifo ~/Exchange/pipe; echo out > ~/Exchange/mine\n")
        await one.until(lambda names: "mine" in names)
        assert (await one.read("mine")) == "out\n"
        for odd in ("link", "pipe", "../../etc/passwd", "..", ""):
            with pytest.raises(Denied):
                await one.running.file(odd)
        with pytest.raises(Denied):
            await one.running.new_file("in.txt")


def test_the_session_lets_no_clipboard_in_that_the_rule_forbids() -> None:
    held, free = FromBrowser(clipboard_in=False, clipboard_out=True), FromBrowser(clipboard_in=True, clipboard_out=True)
    assert held.feed(HELLO + CUT + KEY) == HELLO + KEY
    assert free.feed(HELLO + CUT + KEY) == HELLO + CUT + KEY
    assert held.worked
    byte_by_byte = FromBrowser(clipboard_in=False, clipboard_out=True)
    assert b"".join(byte_by_byte.feed(bytes([one])) for one in HELLO + CUT + KEY) == HELLO + KEY
    extended = cut_text(PROVIDE | TEXT, b"5")
    assert held.feed(extended + KEY) == KEY
    with pytest.raises(Invalid):
        held.feed(b"\x99")


def test_what_leaves_by_the_clipboard_is_held_back_by_xvnc_whose_rules_no_program_can_change() -> None:
    words = display.xvnc(Rules(clipboard_in=True), width=1, height=99_999, title="x", ready_fd=5, cookie="/c")
    said = dict(zip(words, words[1:], strict=False))
    assert (said["-AcceptCutText"], said["-SendCutText"], said["-SendPrimary"], said["-AllowOverride"]) == ("1", "0", "0", "")
    assert (said["-rfbport"], said["-geometry"]) == ("-1", "320x4096")  # no TCP


def test_a_screen_is_opened_by_a_pass_that_its_own_page_asked_for_once() -> None:
    passes = Passes()
    word = passes.issue("/programs/a/screen", now=0.0)
    for offered, path, now in (([], "/programs/a/screen", 1.0), (["pass.x"], "/programs/a/screen", 1.0)):
        with pytest.raises(Denied):
            passes.take(offered, path, now=now)
    assert passes.take(["binary", word], "/programs/a/screen", now=1.0) == word
    with pytest.raises(Denied):
        passes.take([word], "/programs/a/screen", now=1.0)  # once
    late, elsewhere = passes.issue("/a", now=0.0), passes.issue("/a", now=0.0)
    with pytest.raises(Denied):
        passes.take([late], "/a", now=PASS_SECONDS + 1)
    with pytest.raises(Denied):
        passes.take([elsewhere], "/b", now=1.0)


def test_the_life_of_a_run_is_a_table() -> None:
    for state in ProgramState:
        for event in ProgramEvent:
            drawn = (state, event) in NEXT
            assert drawn == (event is ProgramEvent.ENDED or state is ProgramState.STARTING), (state, event)


def test_settings_that_cannot_be_are_refused_with_what_to_write_instead() -> None:
    good = read_settings(ProgramKind.WINDOW, {"roles": ["doctor"], "command": ["x"], "reaches": ["pacs.example:104", "[2001:db8::1]:80"]})
    assert good.roles == ("doctor",)
    assert [split_reach(one) for one in good.reaches] == [("pacs.example", 104), ("2001:db8::1", 80)]
    for kind, body in (
        (ProgramKind.WINDOW, {"command": []}), (ProgramKind.WINDOW, {"command": ["x"], "shell": True}),
        (ProgramKind.WINDOWS, {}), (ProgramKind.WINDOW, {"command": ["x"], "remote": {"host": "w"}}),
        (ProgramKind.WINDOW, {"command": ["x"], "reaches": ["everything"]}), (ProgramKind.WINDOW, {"command": ["x"], "processes": 1}),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            read_settings(kind, body)
        assert refused.value.text
