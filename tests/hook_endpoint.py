"""A program's own HTTPS address, where notifications arrive: a real server, with a certificate of its own authority."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cloister.zones import certificates


@dataclass
class Hook:
    """What came; `status` is what the next ones are answered."""

    folder: Path
    authority: Path
    port: int = 0
    status: int = 200
    location: str = ""
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hook"

    def start(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                hook.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                if hook.location:
                    self.send_header("location", hook.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "hook.pem", self.folder / "hook.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def wait(self, count: int, seconds: float = 20.0) -> list[tuple[str, dict[str, str], bytes]]:
        """Until so many came in all."""
        end = time.monotonic() + seconds
        while len(self.came) < count:
            assert time.monotonic() < end, f"{len(self.came)} of {count} notifications came"
            time.sleep(0.02)
        return self.came


@contextmanager
def hook(folder: Path, *, names: tuple[str, ...] = ("localhost", "127.0.0.1")) -> Iterator[Hook]:
    key, authority = certificates.new_tls_ca("A program's authority")
    server_key, chain = certificates.tls_certificate(key, authority, list(names), 30)
    for name, content in (("hook.key", server_key), ("hook.pem", chain), ("authority.pem", authority)):
        (folder / name).write_bytes(content)
    made = Hook(folder, folder / "authority.pem")
    made.start()
    try:
        yield made
    finally:
        made.stop()
