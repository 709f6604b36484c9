"""Frames of the wire, however the bytes are cut; and both ends over a real socket."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base import wire
from cloister.base.errors import Corrupt, Denied, Invalid, Unavailable

MESSAGES = st.lists(st.one_of(st.integers(-5, 2**40), st.binary(max_size=300), st.text(max_size=40), st.none()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(0, 2000), max_size=12))
def test_messages_come_whole_however_they_are_cut(messages: list[list[Any]], cuts: list[int]) -> None:
    data = b"".join(wire.pack(message) for message in messages)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    frames = wire.Frames()
    found = [message for start, end in zip(places, places[1:], strict=False) for message in frames.feed(data[start:end])]
    assert found == messages


@pytest.mark.parametrize("data", [struct.pack(">I", wire.FRAME_BYTES_MAX + 1), b"\0\0\0\1\xc1", b"\0\0\0\2\xa1\xff"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        wire.Frames().feed(data)


async def _answer(peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
    match method:
        case "denied":
            raise Denied("No.", reason="no")
        case "late":
            await asyncio.sleep(5)
        case "large":
            return bytes(arguments["bytes"])
    return [method, arguments]


async def test_answers_errors_lateness_and_the_end_of_the_other_side(tmp_path: Path) -> None:
    server = await wire.serve(tmp_path / "s", _answer)
    caller = wire.Caller(tmp_path / "s", part="other side")
    assert await asyncio.gather(*(caller.call("a", n=n) for n in range(200))) == [["a", {"n": n}] for n in range(200)]
    assert len(await caller.call("large", bytes=3_000_000)) == 3_000_000
    with pytest.raises(Denied) as denied:
        await caller.call("denied")
    assert denied.value.reason == "no"
    with pytest.raises(Unavailable):
        await caller.call("late", timeout_seconds=0.05)
    waiting = asyncio.create_task(caller.call("late"))
    await asyncio.sleep(0.05)
    server.hang_up()
    with pytest.raises(Unavailable, match="other side"):
        await waiting
    assert await caller.call("again") == ["again", {}]  # it connects anew
    server.close()
    server.hang_up()
    await asyncio.sleep(0.01)
    (tmp_path / "s").unlink(missing_ok=True)
    with pytest.raises(Unavailable):
        await caller.call("nobody")
    caller.close()


async def test_who_asks_with_other_than_a_map_is_told(tmp_path: Path) -> None:
    server = await wire.serve(tmp_path / "s", _answer)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(wire.pack([1, "a", 7]))
    (number, good, error), *_ = wire.Frames().feed(await reader.read(4096))
    assert (number, good, error["category"]) == (1, False, Invalid.category)
    writer.write(wire.pack({"no": "call"}))
    assert await reader.read() == b""  # it hangs up
    writer.close()
    server.close()


async def test_a_socket_stays_where_it_is_when_the_server_ends(tmp_path: Path) -> None:
    """Python 3.13 and later would look for the file and remove it; behind its walls a session may not even look."""
    server = await wire.serve(tmp_path / "s", _answer)
    server.close()
    await asyncio.sleep(0)
    assert (tmp_path / "s").is_socket()
