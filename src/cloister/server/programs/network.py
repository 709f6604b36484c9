"""A program's network: none, or single TCP services of an allow-list. rtnetlink(7), Linux "AnyIP" routing.

In the program's own network namespace every address is its own, so that only what listens there answers: for each allowed host
and port a listener, made in the namespace, whose connections a relay outside carries on. Anything else is refused at once by the
kernel of the namespace itself: no packet ever leaves it. No UDP, no ICMP, no name server; names stand in /etc/hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final

from cloister.base.process import Account, drop_to, name_process
from cloister.server.programs import channel
from cloister.server.programs.plan import split_reach

RTM_NEWROUTE: Final = 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 1, 4, 0x400
TABLE_LOCAL, RTPROT_STATIC, SCOPE_HOST, RTN_LOCAL = 255, 4, 254, 2
RTA_OIF: Final = 4
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
LOOPBACK_INDEX: Final = 1
CHUNK: Final = 65_536
CONNECT_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_MAX: Final = 4.0
CONNECTIONS_MAX: Final = 256
Target = tuple[str, int]  # address, port


def resolve(reaches: Sequence[str]) -> tuple[list[Target], list[str]]:
    """(what may be reached, lines for /etc/hosts), asked once, when the program starts, of this server's resolver."""
    targets: list[Target] = []
    hosts: list[str] = []
    for reach in reaches:
        host, port = split_reach(reach)
        with contextlib.suppress(OSError):
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if family in (socket.AF_INET, socket.AF_INET6) and (str(address[0]), port) not in targets:
                    targets.append((str(address[0]), port))
                    if address[0] != host:
                        hosts.append(f"{address[0]} {host}")
    return targets, sorted(set(hosts))


def answers(targets: Sequence[Target]) -> bool:
    """Whether anything takes a connection at one of them now, asked with this server's own network."""
    for target in targets:
        with contextlib.suppress(OSError), socket.create_connection(target, ANSWER_SECONDS_MAX):
            return True
    return False


def raise_loopback() -> None:
    """In a new network namespace even the loopback interface is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        name, flags = struct.unpack_from("16sh", request)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", name, flags | IFF_UP))


def own_every_address(family: int) -> None:
    """Route `local 0.0.0.0/0 dev lo` (or ::/0): every address is this namespace's own. Needs CAP_NET_ADMIN in it."""
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, TABLE_LOCAL, RTPROT_STATIC, SCOPE_HOST, RTN_LOCAL, 0)
    body += struct.pack("=HHI", 8, RTA_OIF, LOOPBACK_INDEX)
    message = struct.pack("=IHHII", 16 + len(body), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(message)
        answer = netlink.recv(4096)
    number = -struct.unpack_from("=i", answer, 16)[0]
    if number not in (0, errno.EEXIST):
        raise OSError(number, os.strerror(number))


def listen(targets: Sequence[Target]) -> list[socket.socket]:
    """A listener for each, in this namespace."""
    listeners = []
    for family in sorted({_family(address) for address, _ in targets}):
        own_every_address(family)
    for address, port in targets:
        one = socket.socket(_family(address), socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        one.listen(64)
        listeners.append(one)
    return listeners


def _family(address: str) -> int:
    return int(socket.AF_INET6 if ":" in address else socket.AF_INET)


# --- the relay, outside the namespace ---------------------------------------------------------------------------


def run_relay(handed: socket.socket, account: Account) -> None:
    """Carry on what the listeners of the namespace accept, to exactly the address that each stands for; until it is gone."""
    name_process("program-relay")
    drop_to(account)
    asyncio.run(_relay(handed))


async def _relay(handed: socket.socket) -> None:
    servers = []
    while (message := await asyncio.to_thread(channel.receive, handed)) is not None:
        body, fds = message
        for fd in fds:
            target = (str(body["address"]), int(body["port"]))
            servers.append(await asyncio.start_server(_carrier(target), sock=socket.socket(fileno=fd)))
    os._exit(0)  # the namespace is gone, and with it both ends of what was carried


class _carrier:  # noqa: N801 - used as a function
    def __init__(self, target: Target) -> None:
        self._target = target
        self._open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._open += 1
        try:
            onward = await asyncio.wait_for(asyncio.open_connection(*self._target), CONNECT_SECONDS_MAX)
        except (OSError, TimeoutError):
            writer.transport.abort()
            self._open -= 1
            return
        try:
            await asyncio.gather(_carry(reader, onward[1]), _carry(onward[0], writer))
        finally:
            self._open -= 1
            for one in (writer, onward[1]):
                one.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
        target.write_eof()
