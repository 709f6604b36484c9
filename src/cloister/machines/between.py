"""Calls between machines: the frames of wire.py over mutual TLS 1.3, and either end may call the other.

A connection is made by the machine that is further out (a server), and the controller calls back on it: servers listen
for nobody. Each end knows the other by its certificate, never by its address. The dialling end knocks every
KNOCK_SECONDS; an end that has heard nothing for SILENCE_SECONDS_MAX takes the connection for lost, because a machine
that lost its power sends no farewell. RFC 8446.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Busy, CloisterError, Corrupt, Invalid, Unavailable, from_wire
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import CALLS_PER_CONNECTION_MAX, Framed, pack, where_of

KNOCK_SECONDS: Final = 0.5
SILENCE_SECONDS_MAX: Final = 2.0
CONNECT_SECONDS_MAX: Final = 2.0
KNOCK: Final = "knock"
STRANGERS_BYTES_MAX: Final = 65_536  # of one frame, from who shows no certificate

Answer = Callable[["Link", str, dict[str, Any]], Awaitable[Any]]


class Link(Framed):
    """One connection between two machines. `certificate` is the other end's (DER), verified; None if it showed none."""

    certificate: bytes | None = None

    def __init__(self, answer: Answer, part: str, *, knocks: bool, open: Callable[[Link], None], lost: Callable[[Link], None]) -> None:
        super().__init__()
        self._answer, self._part = answer, part
        self._knocks = knocks
        self._opened, self._lost = open, lost
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.peer: Any = None  # who it is, once the owner of this end has decided
        self.fault: Exception | None = None
        self.closed = asyncio.Event()

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        found = transport.get_extra_info("ssl_object")
        self.certificate = found.getpeercert(binary_form=True) if found is not None else None
        self._heard = asyncio.get_running_loop().time()
        self._opened(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = exc
        if self._timer is not None:
            self._timer.cancel()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(self._unavailable())
        self.closed.set()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        super().data_received(data)
        if self.certificate is None and self._frames.wanted > STRANGERS_BYTES_MAX:
            self.transport.abort()

    def refused(self) -> None:
        log("between.bad_frame", level="warning", part=self._part)

    def received(self, message: Any) -> None:
        number, second, third = message
        if isinstance(second, bool):
            self._answered(number, second, third)
        elif second == KNOCK:
            self.transport.write(pack([number, True, None]))
        elif len(self._tasks) >= CALLS_PER_CONNECTION_MAX:
            self.transport.write(pack([number, False, Busy("Too many calls at once.").as_wire()]))
        else:
            task = asyncio.get_running_loop().create_task(self._serve(number, second, third))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- calling and answering ------------------------------------------------------------------------

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        """Raises Unavailable, naming the part, when the other end is gone or silent; its refusals arrive as their category."""
        if self.transport.is_closing():
            raise self._unavailable()
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting[number] = future
        timer = loop.call_later(timeout_seconds, self._expire, future)
        try:
            self.transport.write(pack([number, method, arguments]))
            return await future
        finally:
            timer.cancel()
            del self._waiting[number]

    def close(self) -> None:
        self.transport.abort()

    def _answered(self, number: int, good: bool, result: Any) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            if good:
                future.set_result(result)
            else:
                future.set_exception(from_wire(result))

    async def _serve(self, number: int, method: str, arguments: Any) -> None:
        try:
            if not isinstance(arguments, dict):
                raise Invalid("Arguments must be a map.")
            reply = pack([number, True, await self._answer(self, method, arguments)])
        except CloisterError as refused:
            reply = pack([number, False, refused.as_wire()])
        except Exception as fault:  # the process's edge: the fault is ours, its text stays here
            log("between.fault", level="error", method=str(method)[:40], kind=type(fault).__name__, where=where_of(fault))
            reply = pack([number, False, Corrupt("Something went wrong inside.", hint="See the log.").as_wire()])
        if not self.transport.is_closing():
            self.transport.write(reply)

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"The {self._part} does not answer.", hint="Wait a moment and try again; nothing was lost.", reason="no-answer")

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            future.set_exception(self._unavailable())

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard > SILENCE_SECONDS_MAX:
            log("between.silent", level="warning", part=self._part)
            self.transport.abort()
            return
        if self._knocks:
            self.transport.write(pack([0, KNOCK, {}]))
        self._timer = loop.call_later(KNOCK_SECONDS, self._watch)


def context(*, listening: bool, authority: bytes, key: bytes = b"", chain: bytes = b"", strangers: bool = False) -> ssl.SSLContext:
    """TLS 1.3 that believes this authority (PEM) alone. `strangers`: also who shows no certificate is heard."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if listening else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False  # names are compared by the caller: a machine is who its certificate says, wherever it is
    made.verify_mode = ssl.CERT_OPTIONAL if strangers else ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=authority.decode("ascii"))
    if listening:
        made.num_tickets = 0  # no resumption: each connection shows its certificate anew
    if chain:
        show(made, key, chain)
    return made


def show(made: ssl.SSLContext, key: bytes, chain: bytes) -> None:
    """Load a certificate and its key (PEM) without a file on a disk; also into a context in use, for new connections."""
    descriptor = os.memfd_create("machine", os.MFD_CLOEXEC)
    try:
        with open(os.dup(descriptor), "wb") as file:
            file.write(key + chain)
        made.load_cert_chain(f"/proc/self/fd/{descriptor}" if Path("/proc/self/fd").exists() else f"/dev/fd/{descriptor}")
    finally:
        os.close(descriptor)


def stranger_context() -> ssl.SSLContext:
    """For the one question that needs no trust: which authority is there? Its answer is compared with what is pinned."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """As which machine this process shows itself: its key, the authority that it believes, and the file of today's certificate."""

    key: Secret = field(repr=False)
    authority: bytes
    chain: Path

    def dialling(self) -> ssl.SSLContext:
        return context(listening=False, authority=self.authority, key=self.key.reveal(), chain=self.chain.read_bytes())

    def listening(self, *, strangers: bool = False) -> ssl.SSLContext:
        shown = {"key": self.key.reveal(), "chain": self.chain.read_bytes()}
        return context(listening=True, authority=self.authority, strangers=strangers, **shown)

    def refresh(self, made: ssl.SSLContext) -> None:
        """A listener shows today's certificate to whoever comes next."""
        show(made, self.key.reveal(), self.chain.read_bytes())


async def _nothing(link: Link, method: str, arguments: dict[str, Any]) -> Any:
    raise Invalid("Nothing is answered here.", reason="method")


async def dial(address: str, port: int, tls: ssl.SSLContext, *, part: str, answer: Answer = _nothing) -> Link:
    """A connection to a machine that listens. OSError or ssl.SSLError when there is none, TimeoutError when nobody answers."""
    link = Link(answer, part, knocks=True, open=lambda _: None, lost=lambda _: None)
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        await asyncio.get_running_loop().create_connection(lambda: link, address, port, ssl=tls, server_hostname="")
    return link


async def listen(
    address: str, port: int, tls: ssl.SSLContext, answer: Answer, *, part: str, lost: Callable[[Link], None] = lambda _: None
) -> asyncio.Server:
    """Answers machines. Who did not finish the handshake in CONNECT_SECONDS_MAX is sent away."""
    return await asyncio.get_running_loop().create_server(
        lambda: Link(answer, part, knocks=False, open=lambda _: None, lost=lost),
        address,
        port,
        ssl=tls,
        ssl_handshake_timeout=CONNECT_SECONDS_MAX * 2,
        reuse_address=True,
        backlog=2048,
    )


def split(place: str, port: int) -> tuple[str, int]:
    """Of `10.0.0.1`, `10.0.0.1:8445` or `[fd00::1]:8445`: address and port, with a port where none is written."""
    with contextlib.suppress(ValueError):
        if place.startswith("["):
            host, _, rest = place[1:].partition("]")
            return host, int(rest.removeprefix(":") or port)
        host, colon, number = place.rpartition(":")
        if colon and ":" not in host:
            return host, int(number)
        return place, port
    raise Invalid(f"'{place[:60]}' is no address.", hint="Write ADDRESS or ADDRESS:PORT.", reason="address")
