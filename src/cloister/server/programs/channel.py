"""One message each way at a time, with descriptors: SEQPACKET and SCM_RIGHTS (unix(7)). The two ends are processes of one session."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

import msgpack

MESSAGE_BYTES_MAX: Final = 131_072
DESCRIPTORS_MAX: Final = 4
NOTHING: Final[tuple[int, ...]] = ()


HIGH: Final = 100


def high(fd: int) -> int:
    """The same thing under a number that nobody else uses. In each child of a fork, libuv (in uvloop) closes the numbers that its own
    pipes once had in the zygote: low ones, which are other things by now."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(fd)
    return moved


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return socket.socket(fileno=high(ours.detach())), socket.socket(fileno=high(theirs.detach()))


def send(channel: socket.socket, body: dict[str, Any], fds: Sequence[int] = NOTHING) -> None:
    """Raises OSError when the other end is gone, and BlockingIOError when it does not read."""
    socket.send_fds(channel, [msgpack.packb(body)], list(fds))


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """None when the other end is gone, or says what is no message.

    An end that goes while something of ours lies unread is told first (ECONNRESET), before the last word that it left for us.
    """
    try:
        try:
            packet, fds, flags, _ = socket.recv_fds(channel, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
        except ConnectionResetError:
            packet, fds, flags, _ = socket.recv_fds(channel, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
    except BlockingIOError:
        raise
    except OSError:
        return None
    if not packet or flags & socket.MSG_TRUNC:
        close_all(fds)
        return None
    try:
        body = msgpack.unpackb(packet)
    except (ValueError, msgpack.UnpackException):
        body = None
    if not isinstance(body, dict):
        close_all(fds)
        return None
    return body, fds


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
