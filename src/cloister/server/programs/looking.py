"""A second viewer of a program's screen, which only looks: a picture of it for a colleague who was let in. RFC 6143, PNG (RFC 2083).

It is an RFB client of the same Xvnc, held by the session of the person whose program it is. It sends no key, no pointer and no
clipboard, and takes none. What it sees leaves this session sealed, as other pictures of a shown screen do (docs/spec/zones.md 31).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from cloister.base.errors import Unavailable
from cloister.server.programs.rfb import EXTENDED_CLIPBOARD, NOTICES_ALONE, set_encodings

LOOK_SECONDS_MAX: Final = 4.0
CHANGED_SECONDS: Final = 0.3  # to wait for something to have changed
SIDE_MAX: Final = 8192
PICTURE_BYTES_MAX: Final = 600_000  # with base64 around it, the frame of a shown screen must hold it
RAW, DESKTOP_SIZE = 0, -223
UPDATE, COLOURS, BELL, CUT_TEXT = 0, 1, 2, 3
# 32 bits, little-endian: red, green, blue, nothing in memory's order.
PIXELS: Final = struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)
PIXEL_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    png: bytes


class Looker:
    def __init__(self, screen: socket.socket) -> None:
        self._screen = screen
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._asked = False
        self._update: asyncio.Task[None] | None = None
        self._width = self._height = 0
        self._rows = bytearray()
        self.gone = False

    async def look(self) -> Picture | None:
        """The screen as it is, when it has changed since the last look. Raises Unavailable when the screen is gone."""
        async with self._turn:
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    if self._reader is None:
                        await self._begin()
                    return await self._next()
            except (OSError, EOFError, TimeoutError, ValueError) as lost:
                self.close()
                text = "The program's screen could not be shown."
                raise Unavailable(text, hint="It is tried again.", reason="program-screen") from lost

    def close(self) -> None:
        self.gone = True
        if self._update is not None:
            self._update.cancel()
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._screen.close()

    async def _begin(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._screen)
        self._reader, self._writer = reader, writer
        await reader.readexactly(12)
        writer.write(b"RFB 003.008\n")
        if 1 not in await reader.readexactly((await reader.readexactly(1))[0]):
            raise ValueError
        writer.write(b"\x01")
        if await reader.readexactly(4) != bytes(4):
            raise ValueError
        encodings = set_encodings(struct.pack(">ii", RAW, DESKTOP_SIZE) + EXTENDED_CLIPBOARD)
        writer.write(b"\x01" + NOTICES_ALONE + PIXELS + encodings)  # shared; no clipboard; how pixels come
        self._size(*struct.unpack(">HH", await reader.readexactly(4)))
        await reader.readexactly(16)
        await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0])

    def _size(self, width: int, height: int) -> None:
        if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
            raise ValueError
        self._width, self._height = width, height
        self._rows = bytearray(width * height * PIXEL_BYTES)

    async def _next(self) -> Picture | None:
        assert self._writer is not None
        if self._update is None:
            request = struct.pack(">BBHHHH", 3, int(self._asked), 0, 0, self._width, self._height)
            self._writer.write(request)
            self._asked = True
            self._update = asyncio.ensure_future(self._updated())
        done, _ = await asyncio.wait((self._update,), timeout=CHANGED_SECONDS)
        if not done:
            return None
        update, self._update = self._update, None
        update.result()
        return await asyncio.to_thread(_drawn, self._width, self._height, bytes(self._rows))

    async def _updated(self) -> None:
        assert self._reader is not None
        read = self._reader.readexactly
        while (kind := (await read(1))[0]) != UPDATE:
            if kind == COLOURS:
                _, count = struct.unpack(">xHH", await read(5))
                await read(6 * count)
            elif kind == CUT_TEXT:  # notices alone, and nothing of them is kept
                await read(3)
                await read(abs(struct.unpack(">i", await read(4))[0]))
            elif kind != BELL:
                raise ValueError
        (count,) = struct.unpack(">xH", await read(3))
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", await read(12))
            if encoding == DESKTOP_SIZE:
                self._size(width, height)
                self._asked = False  # all of it is wanted anew
            elif encoding == RAW and x + width <= self._width and y + height <= self._height:
                for row in range(y, y + height):
                    at = (row * self._width + x) * PIXEL_BYTES
                    self._rows[at : at + width * PIXEL_BYTES] = await read(width * PIXEL_BYTES)
            else:
                raise ValueError


def _drawn(width: int, height: int, rows: bytes) -> Picture:
    """In true colour; half as large, and half again, until it is small enough to be sent."""
    while True:
        plain = bytearray(width * height * 3)
        for colour in range(3):
            plain[colour::3] = rows[colour::PIXEL_BYTES]
        png = _png(width, height, bytes(plain))
        if len(png) <= PICTURE_BYTES_MAX or width < 2 or height < 2:
            return Picture(width, height, png)
        width, height, rows = _halved(width, height, rows)


def _halved(width: int, height: int, rows: bytes) -> tuple[int, int, bytes]:
    """Every second pixel of every second row."""
    pixels = memoryview(rows).cast("I")
    half = b"".join(bytes(pixels[row * width : row * width + (width & ~1) : 2]) for row in range(0, height & ~1, 2))
    return width // 2, height // 2, half


def _png(width: int, height: int, plain: bytes) -> bytes:
    stride = width * 3
    lines = b"".join(b"\x00" + plain[at : at + stride] for at in range(0, len(plain), stride))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
