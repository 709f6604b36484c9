"""What a keeper says last is heard, although it is gone by then and something that was said to it lies unread."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from cloister.server.programs import channel
from cloister.server.programs.plan import ProgramKind
from cloister.server.programs.programs import Rules
from cloister.server.programs.running import Running

HELLO = {"event": "hello", "public_key": b"", "missing": [], "left_out": []}
LAST = {"event": "ended", "why": "rdp-unreachable", "text": ""}


def test_the_last_word_comes_after_the_reset() -> None:
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.send(ours, {"do": "begin"})
    channel.send(keepers, LAST)
    keepers.close()
    assert channel.receive(ours) == (LAST, [])
    assert channel.receive(ours) is None
    ours.close()


@pytest.mark.parametrize("says_why", [True, False])
async def test_a_program_that_ended_before_it_was_told_to_begin_says_why(tmp_path: Path, says_why: bool) -> None:
    ended: list[Any] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "keeper.sock"))
        listener.listen()
        running = Running(run="r", application="one", title="One", kind=ProgramKind.WINDOWS, rules=Rules(), on_end=ended.append)
        listener.setblocking(False)
        _, keeper = await asyncio.gather(running.open(str(tmp_path / "keeper.sock")), _greeted(listener))
        if says_why:
            channel.send(keeper, LAST)
        keeper.close()
        await running.begin([])
    assert running.ended is not None
    assert running.ended.why == ("rdp-unreachable" if says_why else "lost")
    assert ended == [running]


async def _greeted(listener: socket.socket) -> socket.socket:
    keeper, _ = await asyncio.get_running_loop().sock_accept(listener)
    channel.send(keeper, HELLO)
    return keeper
