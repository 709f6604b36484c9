"""The agent's two doors: http://127.0.0.1:27443 for pages of the trust, and a UNIX socket for programs of the same person.

JSON only. A page is let in by its origin (WHATWG Fetch, CORS), which only a browser is trusted to say truly; a process by the account
that it runs under. The Host header must be this loopback address, so that no name of another site leads here (DNS rebinding).
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cloister.workstation.agent import Agent
from cloister.workstation.faults import CardFault

PORT: Final = 27443
BODY_BYTES_MAX: Final = 32_768
WAIT_SECONDS: Final = 20.0
STATUS: Final = {"origin": 403, "other-user": 403, "request": 400, "busy": 409}
VERSION_PATH: Final = "/card/v1"


class Handler(BaseHTTPRequestHandler):
    """One request; made by a door, which has set `agent`, `origins` and `version` on its server."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cloister-card", ""
    timeout = 30
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: an address of a request names a card."""

    def do_OPTIONS(self) -> None:
        """CORS preflight, also that of Private Network Access."""
        try:
            self._who()
        except CardFault as fault:
            self._answer(STATUS[fault.reason], {"error": fault.reason})
            return
        more = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "content-type"}
        if self.headers.get("Access-Control-Request-Private-Network") == "true":
            more["Access-Control-Allow-Private-Network"] = "true"
        self._answer(204, None, {**more, "Access-Control-Max-Age": "600"})

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        address = urlsplit(self.path)
        try:
            body = self._body() if method == "POST" else {}
            who, agent = self._who(), self.server.agent
            match method, address.path.removeprefix(VERSION_PATH):
                case "GET", "/state":
                    answer = {"version": self.server.version, **agent.state()}
                case "GET", "/stays":
                    key = parse_qs(address.query).get("key", [""])[0]
                    answer = {"stays": agent.stays(key, WAIT_SECONDS)}
                case "POST", "/unlock":
                    answer = agent.unlock(who, body)
                case "POST", "/enrol":
                    answer = agent.enrol(who, body)
                case _:
                    raise CardFault("request")
        except CardFault as fault:
            self._answer(STATUS.get(fault.reason, 422), {"error": fault.reason, "text": str(fault)})
            return
        self._answer(200, answer)

    def _body(self) -> dict[str, Any]:
        """Read before anything is refused, so that the connection can go on. The media type makes other sites ask first."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX or self.headers.get_content_type() != "application/json":
            self.close_connection = True
            raise CardFault("request")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise CardFault("request")
        return body

    def _who(self) -> str:
        """Who asks, in words for the PIN prompt."""
        if not self.server.same_user(self.connection):
            raise CardFault("other-user")
        origin = self.headers.get("Origin")
        if self.server.local:
            if origin is not None:
                raise CardFault("origin")
            return "A program on this computer"
        if self.headers.get("Host") not in self.server.names or origin not in self.server.origins:
            raise CardFault("origin")
        return str(origin)

    def _answer(self, status: int, body: dict[str, Any] | None, more: dict[str, str] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_response_only(status)
        origin = self.headers.get("Origin")
        # A refused page may read that it was refused, and nothing else.
        if origin is not None and (origin in self.server.origins or status == 403):
            self.send_header("Access-Control-Allow-Origin", origin)
        for name, value in {"Vary": "Origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(more or {})}.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class LoopbackDoor(ThreadingHTTPServer):
    """For pages, on 127.0.0.1 only."""

    daemon_threads, local = True, False

    def __init__(self, agent: Agent, origins: frozenset[str], version: str, port: int = PORT) -> None:
        self.agent, self.origins, self.version = agent, origins, version
        super().__init__(("127.0.0.1", port), Handler)
        self.names = {f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away is no fault; a traceback here could show a request."""

    def same_user(self, connection: socket.socket) -> bool:
        """Whether the other end is this user's: several people may work on one machine (terminal servers). proc(5), /proc/net/tcp."""
        host, port = connection.getpeername()
        wanted = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == wanted:
                return int(fields[7]) == os.getuid()
        return False


class SocketDoor(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """For programs of the same person: its folder and its mode admit nobody else, and the kernel says who it is."""

    daemon_threads, local = True, True
    origins: frozenset[str] = frozenset()

    def __init__(self, agent: Agent, version: str, path: Path) -> None:
        self.agent, self.version = agent, version
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), Handler)
        finally:
            os.umask(before)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As at the other door."""

    @staticmethod
    def same_user(connection: socket.socket) -> bool:
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return bool(uid == os.getuid())


def serve(*doors: socketserver.BaseServer) -> Callable[[], None]:
    """Each in a thread of its own; returns what closes them."""
    for door in doors:
        threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close() -> None:
        for door in doors:
            door.shutdown()
            door.server_close()

    return close
