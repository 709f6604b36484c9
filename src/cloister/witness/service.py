"""The witness over HTTP: POST /add-checkpoint as in C2SP tlog-witness, GET /latest, GET /evidence. Standard library only.

Nothing here is a secret and every word is signed, so it needs no TLS to be true; put one in front where the network is not yours.
"""

from __future__ import annotations

import json
import os
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final

from cloister.base.telemetry import log
from cloister.witness.judge import STATUS, Refusal, Refused, Witness, parsed_submission

BODY_BYTES_MAX: Final = 128 * 1024
TIMEOUT_SECONDS: Final = 30


class Handler(BaseHTTPRequestHandler):
    witness: ClassVar[Witness]
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    server_version = "witness"
    sys_version = ""

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != "/add-checkpoint" or not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(HTTPStatus.NOT_FOUND if self.path != "/add-checkpoint" else HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
            return
        try:
            line = self.witness.add(parsed_submission(self.rfile.read(int(length)).decode()))
        except UnicodeDecodeError:
            self._refuse(Refused(Refusal.MALFORMED))
        except Refused as refused:
            self._refuse(refused)
        else:
            self._answer(HTTPStatus.OK, line)

    def do_GET(self) -> None:
        if self.path == "/latest":
            seen = self.witness.seen
            self._answer(HTTPStatus.OK if seen else HTTPStatus.NOT_FOUND, seen.note if seen else "")
        elif self.path == "/evidence":
            self._answer(HTTPStatus.OK, json.dumps(self.witness.evidence, ensure_ascii=False), "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "")

    def _refuse(self, refused: Refused) -> None:
        log("witness.refused", level="warning", reason=refused.reason, size=refused.size)
        status = STATUS[refused.refusal]
        if status == HTTPStatus.CONFLICT:
            self._answer(status, f"{refused.size}\n", "text/x.tlog.size", refused.reason)
        else:
            self._answer(status, f"{refused.text}\n", reason=refused.reason)

    def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8", reason: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if reason:
            self.send_header("x-refusal", reason)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """One line a second would say nothing; what matters is logged by name."""

    def address_string(self) -> str:
        return "local"


class _Unix(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        Path(str(self.server_address)).unlink(missing_ok=True)
        socket.socket.bind(self.socket, self.server_address)
        os.chmod(str(self.server_address), 0o660)
        self.server_name, self.server_port = "local", 0


def serve(witness: Witness, where: tuple[str, int] | Path) -> ThreadingHTTPServer:
    """Bound and ready; `serve_forever` on what this returns."""
    handler = type("WitnessHandler", (Handler,), {"witness": witness})
    if isinstance(where, Path):
        return _Unix(str(where), handler)  # type: ignore[arg-type]
    return ThreadingHTTPServer(where, handler)
