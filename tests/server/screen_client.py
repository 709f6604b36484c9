"""A person at a program's screen, without a browser: RFC 6143 with raw pixels, over a connected socket."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

from cloister.server.programs.rfb import FromBrowser

RETURN: Final = 0xFF0D
EXTENDED_DESKTOP_SIZE: Final = -308
CAPS, PROVIDE = 1 << 24, 1 << 28


class Through:
    """A socket whose every word goes through the session's filter first, as a browser's does."""

    def __init__(self, sock: socket.socket, said: FromBrowser) -> None:
        self._sock, self._said = sock, said
        self.recv, self.close = sock.recv, sock.close
        self.setblocking, self.settimeout = sock.setblocking, sock.settimeout

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(self._said.feed(data))


class Screen:
    """Blocking; `pixels` is the last frame as 32-bit pixels."""

    def __init__(self, sock: socket.socket | Through) -> None:
        self._sock = sock
        self.notices = 0
        sock.setblocking(True)
        sock.settimeout(20)
        self._exactly(12)
        sock.sendall(b"RFB 003.008\n")
        kinds = self._exactly(self._exactly(1)[0])
        assert 1 in kinds, kinds
        sock.sendall(b"\x01")
        assert self._exactly(4) == bytes(4)
        sock.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self._exactly(4))
        self._exactly(16)
        self.name = self._exactly(struct.unpack(">I", self._exactly(4))[0]).decode()
        sock.sendall(struct.pack(">BxHii", 2, 2, 0, EXTENDED_DESKTOP_SIZE))  # raw pixels only
        self.cut_text = ""

    def _ask(self, changed_only: bool) -> None:
        self._sock.sendall(struct.pack(">BBHHHH", 3, int(changed_only), 0, 0, self.width, self.height))

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self._sock.recv(count - len(got))
            if not more:
                raise ConnectionError("the screen is gone")
            got += more
        return got

    def frame(self, *, changed_only: bool = False) -> bytes:
        """The pixels of the next update, one rectangle after the other."""
        self._ask(changed_only)
        while True:
            kind = self._exactly(1)[0]
            if kind == 0:
                pixels = self._rectangles()
                if pixels:
                    return pixels
                self._ask(True)  # it told of its size alone, and waits for the next question
            elif kind == 3:
                self._heard_of_the_clipboard()
            elif kind != 2:
                raise AssertionError(f"message {kind}")

    def _heard_of_the_clipboard(self) -> None:
        self._exactly(3)
        (length,) = struct.unpack(">i", self._exactly(4))
        if length < 0:  # the extended clipboard: what we may be told of without asking
            flags = struct.unpack(">I", self._exactly(-length)[:4])[0]
            if not flags & CAPS:
                self.notices += 1
                assert not flags & PROVIDE, "text came that nobody asked for"
            return
        self.cut_text = self._exactly(length).decode("latin-1")

    def _rectangles(self) -> bytes:
        (count,) = struct.unpack(">xH", self._exactly(3))
        pixels = b""
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self._exactly(12))
            if encoding == EXTENDED_DESKTOP_SIZE:
                self.width, self.height = width, height
                self._exactly(16 * self._exactly(4)[0])
                continue
            assert encoding == 0, encoding
            pixels += self._exactly(width * height * 4)
        return pixels

    def until_drawn(self, seconds: float = 20.0) -> float:
        """Seconds until the program has drawn more than one colour over a good part of the screen."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            pixels = self.frame()
            colours = {pixels[at : at + 3] for at in range(0, len(pixels), 4)}
            if len(colours) > 1:
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError("nothing was drawn")

    def type(self, text: str) -> None:
        for one in text:
            self.key(RETURN if one == "\n" else ord(one) if ord(one) < 256 else 0x0100_0000 + ord(one))

    def resize(self, width: int, height: int) -> None:
        """SetDesktopSize, with one screen."""
        self._sock.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0))

    def key(self, symbol: int) -> None:
        for down in (1, 0):
            self._sock.sendall(struct.pack(">BBxxI", 4, down, symbol))

    def cut(self, text: str) -> None:
        self._sock.sendall(struct.pack(">BxxxI", 6, len(text)) + text.encode("latin-1"))

    def close(self) -> None:
        self._sock.close()
