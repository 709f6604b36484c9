"""HTTP/2 frame by frame (RFC 9113), so that a test can send what no honest client sends. Literal headers only (RFC 7541 6.2.2)."""

from __future__ import annotations

import socket
import ssl
import struct
from types import TracebackType
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
STATUS: Final = {0x88: 200, 0x89: 204, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def block(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"\x00" + _sized(name) + _sized(value) for name, value in headers)


def _sized(raw: bytes) -> bytes:
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, out = len(raw) - 127, b"\x7f"
    while rest >= 128:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest]) + raw


def request(path: bytes, *more: tuple[bytes, bytes], method: bytes = b"GET") -> list[tuple[bytes, bytes]]:
    return [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path), *more]


class Connection:
    """One connection, read as far as it goes."""

    def __init__(self, port: int, ca: str) -> None:
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.tls = context.wrap_socket(plain, server_hostname="localhost")
        self.tls.sendall(PREFACE)
        self.send(SETTINGS, 0, 0, b"")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.tls.close()

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.tls.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

    def ask(self, stream: int, headers: list[tuple[bytes, bytes]], *, end: bool = True) -> None:
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(headers))

    def frame(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream, payload; EOFError at the end."""
        head = self._exactly(9)
        return head[3], head[4], struct.unpack(">I", head[5:9])[0], self._exactly(int.from_bytes(head[:3], "big"))

    def answer(self, stream: int) -> int | str:
        """The status if it is a common one, or how the stream or connection ended."""
        try:
            while True:
                kind, _, number, payload = self.frame()
                if kind == HEADERS and number == stream:
                    return STATUS.get(payload[0], payload[0])
                if kind == RST_STREAM and number == stream:
                    return "reset"
                if kind == GOAWAY and payload[4:8] != bytes(4):
                    return "goaway"
        except (EOFError, OSError):
            return "closed"

    def _exactly(self, size: int) -> bytes:
        out = b""
        while len(out) < size:
            part = self.tls.recv(size - len(out))
            if not part:
                raise EOFError
            out += part
        return out
