"""MLLP frames: <SB> message <EB><CR>. HL7 Transport Specification: MLLP, release 1. Bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from typing import Final

from cloister.base.errors import Invalid

START: Final = b"\x0b"
END: Final = b"\x1c\x0d"
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
BETWEEN_BYTES_MAX: Final = 1024  # what a sender may put between frames, such as line ends
IDLE_SECONDS_MAX: Final = 3600.0  # between messages
MESSAGE_SECONDS_MAX: Final = 60.0  # from a frame's first byte to its last
PIECE: Final = 65_536


class Frames:
    """Reads one connection's frames, one after the other."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._left = b""

    async def next(self) -> bytes | None:
        """The next message; None when the sender has ended. Raises Invalid for what is no frame, TimeoutError for one that is too slow."""
        async with asyncio.timeout(IDLE_SECONDS_MAX):
            if not await self._started():
                return None
        async with asyncio.timeout(MESSAGE_SECONDS_MAX):
            return await self._rest()

    async def _started(self) -> bool:
        passed = 0
        while True:
            at = self._left.find(START)
            if at >= 0:
                self._left = self._left[at + 1 :]
                return True
            passed += len(self._left)
            if passed > BETWEEN_BYTES_MAX:
                raise Invalid("This is not MLLP.", hint="Frame each message with 0B and 1C 0D.", reason="frame")
            self._left = await self._reader.read(PIECE)
            if not self._left:
                return False

    async def _rest(self) -> bytes | None:
        pieces, size, tail = [self._left], len(self._left), b""
        while True:
            seen = tail + pieces[-1]
            at = seen.find(END)
            if at >= 0:
                whole = b"".join(pieces)
                end = len(whole) - len(seen) + at
                self._left = whole[end + 2 :]
                return whole[:end]
            if size > FRAME_BYTES_MAX:
                raise Invalid(f"A message has at most {FRAME_BYTES_MAX} bytes.", hint="Send documents on their own.", reason="frame")
            tail = seen[-1:]
            piece = await self._reader.read(PIECE)
            if not piece:  # cut off in the middle: it was never whole, and nobody was told that it was taken
                return None
            pieces.append(piece)
            size += len(piece)


def framed(message: bytes) -> bytes:
    return START + message + END
