"""`wake-on-lan`: a magic packet (six bytes of ones, then the address sixteen times) switches a machine on; a command switches it off.

The packet carries no secret and gets no answer, so whether it worked is known by the agent's hello alone.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Final

from cloister.base.errors import Invalid, Unavailable, Unsupported
from cloister.farm.power.drivers.driver import OFF_SECONDS, Seen

MAC: Final = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
COPIES: Final = 3  # datagrams are lost


def magic_packet(mac: str) -> bytes:
    if not MAC.fullmatch(mac):
        raise Invalid(f"'{mac[:40]}' is no hardware address.", hint="Write it as 52:54:00:12:34:56.")
    return b"\xff" * 6 + bytes.fromhex(re.sub("[:-]", "", mac)) * 16


class WakeOnLanDriver:
    """`off_command`: such as ssh to the machine; run without a shell, under the controller's account."""

    def __init__(
        self,
        mac: str,
        *,
        address: str = "255.255.255.255",
        port: int = 9,
        off_command: Sequence[str] = (),
        off_seconds: float = OFF_SECONDS,
    ) -> None:
        self._packet, self._where = magic_packet(mac), (address, port)
        self._off_command, self._off_seconds = list(off_command), off_seconds

    async def on(self) -> None:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                for _ in range(COPIES):
                    sender.sendto(self._packet, self._where)
        except OSError as wrong:
            raise Unavailable(f"The magic packet could not be sent: {wrong.strerror}.", hint="Check the broadcast address.") from wrong

    async def off(self) -> None:
        if not self._off_command:
            raise Unsupported("This machine can be woken, not switched off.", hint="Give it an off_command in the machines file.")
        try:
            process = await asyncio.create_subprocess_exec(
                *self._off_command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as wrong:
            raise Unavailable(f"'{self._off_command[0]}' could not be started: {wrong.strerror}.") from wrong
        try:
            code = await asyncio.wait_for(process.wait(), self._off_seconds)
        except TimeoutError:
            process.kill()
            code = await process.wait()
        if code:
            raise Unavailable(f"'{self._off_command[0]}' ended with code {code}.", hint="Run it by hand, as the controller's account.")

    async def seen(self) -> Seen:
        return Seen.UNKNOWN
