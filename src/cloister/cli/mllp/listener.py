"""The MLLP listener: TLS, connections, one message of a connection at a time.

The next message of a connection is read when the one before has been answered, so that order is kept and a sender who is
faster than the record is held back by TCP. Keeps nothing: what was not acknowledged is its sender's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, Invalid
from cloister.base.settings import Mllp
from cloister.base.telemetry import log
from cloister.cli.mllp.forwarding import TOGETHER_MAX
from cloister.cli.mllp.framing import Frames, framed
from cloister.integration import away

CONNECTIONS_MAX: Final = 200
HANDSHAKE_SECONDS: Final = 10.0
WRITE_SECONDS_MAX: Final = 30.0
BUFFER_BYTES: Final = 65_536

Forward = Callable[[bytes, str], Awaitable[list[bytes]]]  # a message, and the SHA-256 of its sender's certificate


def tls_of(mllp: Mllp, chain: bytes, key: bytes, folder_of: Callable[[bytes, bytes], tuple[str, str]]) -> ssl.SSLContext | None:
    """TLS 1.2 and later; with `clients`, senders must show a certificate of one of its authorities. None for tcp-loopback."""
    if mllp.transport != "tls":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*folder_of(chain, key))
        if mllp.clients is not None:
            context.load_verify_locations(cafile=str(mllp.clients))
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as wrong:
        raise Invalid(
            f"The certificate for MLLP cannot be used: {type(wrong).__name__}.", hint="Check CLOISTER_MLLP_CERTIFICATE, _KEY and _CLIENTS."
        ) from wrong
    return context


def certificate_of(writer: asyncio.StreamWriter) -> str:
    """SHA-256 of the certificate that the sender has shown and TLS has verified; empty where none was asked for."""
    connection = writer.get_extra_info("ssl_object")
    shown = connection.getpeercert(binary_form=True) if connection is not None else None
    return hashlib.sha256(shown).hexdigest() if shown else ""


class Listener:
    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._together = asyncio.Semaphore(TOGETHER_MAX)
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its end."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= CONNECTIONS_MAX:
            log("mllp.full", level="warning", connections=len(self._open))
            writer.close()
            return
        self._open.add(task)
        try:
            await self._messages(Frames(reader), writer, certificate_of(writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError) as ended:
            log("mllp.connection_ended", why=type(ended).__name__)
        except CloisterError as wrong:
            log("mllp.no_frame", level="warning", why=wrong.reason)
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
                async with asyncio.timeout(WRITE_SECONDS_MAX):
                    await writer.wait_closed()

    async def _messages(self, frames: Frames, writer: asyncio.StreamWriter, certificate: str) -> None:
        while True:
            try:
                message = await frames.next()
            except Invalid:
                writer.write(framed(away(b"", system_clock())))
                raise
            if message is None:
                return
            async with self._together:
                answers = await self._forward(message, certificate)
            for one in answers:
                writer.write(framed(one))
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await writer.drain()

    async def close(self) -> None:
        """Messages under way are answered first, within the time that a sender may be kept waiting."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
