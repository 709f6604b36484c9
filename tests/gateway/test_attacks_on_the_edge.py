"""What attackers send to a gateway, with a real Envoy: smuggling, splitting, floods and slowness. Each is refused; others are served."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import ExitStack
from typing import Any, Final

import pytest
from gateway_rig import Rig
from raw_http2 import END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Connection, block, request

from cloister.gateway.envoy.connection_manager import connection_manager


def sent(gateway: Rig, raw: bytes, *, seconds: float = 3) -> bytes:
    """Everything that comes back for these very bytes."""
    context = ssl.create_default_context(cafile=str(gateway.ca))
    with socket.create_connection(("127.0.0.1", gateway.plan.port), timeout=seconds) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(raw)
            answer = b""
            try:
                while part := tls.recv(65536):
                    answer += part
            except TimeoutError:
                pass
            return answer


HOST: Final = "host: localhost\r\n"
HIDDEN: Final = "GET /patients HTTP/1.1\r\nhost: localhost\r\nx-hidden: 1\r\n\r\n"
SMUGGLED: Final = {
    "a length and chunks": f"POST /login HTTP/1.1\r\n{HOST}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"POST /login HTTP/1.1\r\n{HOST}content-length: 5\r\ncontent-length: 6\r\n\r\nhello{HIDDEN}",
    "a length with a sign": f"POST /login HTTP/1.1\r\n{HOST}content-length: +5\r\n\r\nhello{HIDDEN}",
    "chunks by another name": f"POST /login HTTP/1.1\r\n{HOST}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks and a tab": f"POST /login HTTP/1.1\r\n{HOST}transfer-encoding:\tchunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a space before the colon": f"POST /login HTTP/1.1\r\n{HOST}content-length : 5\r\n\r\nhello{HIDDEN}",
    "a zero in a header": f"GET /login HTTP/1.1\r\n{HOST}x-a: b\0c\r\n\r\n",
    "an oversized header": f"GET /login HTTP/1.1\r\n{HOST}x-a: {'a' * 70_000}\r\n\r\n",
    "too many headers": f"GET /login HTTP/1.1\r\n{HOST}{''.join(f'x-{n}: 1' + chr(13) + chr(10) for n in range(150))}\r\n",
    "no host": "GET /login HTTP/1.1\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", SMUGGLED)
def test_a_request_with_two_readings_is_refused_and_hides_none(gateway: Rig, kind: str) -> None:
    answer = sent(gateway, SMUGGLED[kind].encode("latin-1"), seconds=1.5)
    assert answer.count(b"HTTP/1.1 ") <= 1, "one refusal, then the end"
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"431", b"501"), answer[:200]
    assert b"served_by" not in answer


@pytest.mark.parametrize("between", ["\r\n ", "\r"])
def test_a_folded_header_is_one_header(gateway: Rig, between: str) -> None:
    """RFC 9112 5.2: what stands behind the line's end becomes a part of the value, and no header of ours."""
    raw = f"GET /login HTTP/1.1\r\n{HOST}connection: close\r\nx-a: b{between}x-cloister-sid: y\r\n\r\n"
    seen = json.loads(sent(gateway, raw.encode()).split(b"\r\n\r\n")[-1])["headers"]
    assert "x-cloister-sid" not in seen
    assert seen["x-a"].startswith("b")


def test_a_header_cannot_be_split_by_what_a_query_holds(gateway: Rig) -> None:
    answer = sent(
        gateway, f"GET /patients?x=%0d%0aset-cookie:%20a=b HTTP/1.1\r\n{HOST}accept: text/html\r\nconnection: close\r\n\r\n".encode()
    )
    assert answer.split(b" ", 2)[1] == b"303"
    assert b"\r\nset-cookie" not in answer.lower()


BAD_HEADERS: Final[dict[str, Any]] = {
    "a line end in a value": request(b"/login", (b"x-a", b"b\r\nx-cloister-sid: y")),
    "a line end in a name": request(b"/login", (b"x-a\r\nx-cloister-sid", b"y")),
    "a zero in a value": request(b"/login", (b"x-a", b"b\0")),
    "an upper-case name": request(b"/login", (b"X-Cloister-Sid", b"y")),
    "a connection header": request(b"/login", (b"connection", b"keep-alive")),
    "chunks": request(b"/login", (b"transfer-encoding", b"chunked")),
    "two paths": [*request(b"/login"), (b":path", b"/patients")],
    "a late pseudo-header": [*request(b"/login", (b"x-a", b"b")), (b":status", b"200")],
    "a path with a space": request(b"/login HTTP/1.1\r\nx: y"),
    "no path": request(b""),
    "a path that climbs": request(b"/login/../patients"),
    "a path with a parameter": request(b"/login;a=b"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_the_same_over_http2(gateway: Rig, kind: str) -> None:
    with Connection(gateway.plan.port, str(gateway.ca)) as http2:
        http2.ask(1, BAD_HEADERS[kind])
        assert http2.answer(1) in (400, "reset", "goaway", "closed"), kind


def test_a_body_that_is_not_as_long_as_it_says_is_refused_over_http2(gateway: Rig) -> None:
    with Connection(gateway.plan.port, str(gateway.ca)) as http2:
        http2.ask(1, request(b"/login", (b"content-length", b"4"), method=b"POST"), end=False)
        http2.send(0, END_STREAM, 1, b"more than four")
        assert http2.answer(1) in (400, "reset", "goaway", "closed")


def test_our_headers_are_stripped_over_http2_too(gateway: Rig) -> None:
    forged = [(b"x-cloister-sid", b"y"), (b"x-cloister-jkt", b"y"), (b"x-forwarded-client-cert", b"Subject=root"), (b"client-cert", b":x:")]
    with Connection(gateway.plan.port, str(gateway.ca)) as http2:
        http2.ask(1, request(b"/login/echo", *forged))
        body = b""
        while b"headers" not in body:
            kind, _, _, payload = http2.frame()
            body += payload if kind == 0 else b""
        assert not [name for name, _ in forged if name in body]


def test_streams_that_are_reset_at_once_end_their_connection_and_nobody_elses(gateway: Rig) -> None:
    """CVE-2023-44487: a client that only begins and resets."""
    with Connection(gateway.plan.port, str(gateway.ca)) as http2:
        headers = block(request(b"/login"))
        try:
            for stream in range(1, 4001, 2):
                http2.send(HEADERS, END_HEADERS | END_STREAM, stream, headers)
                http2.send(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
            ended = http2.answer(4001)
        except OSError:
            ended = "closed"
        assert ended in ("goaway", "closed")
    assert gateway.get("/login").status_code == 200


def test_too_many_streams_at_once_are_refused(gateway: Rig) -> None:
    with Connection(gateway.plan.port, str(gateway.ca)) as http2:
        for stream in range(1, 2 * 140, 2):
            http2.ask(stream, request(b"/login/slow"))
        assert http2.answer(2 * 139 - 1) in ("reset", "goaway", "closed")


def test_slow_senders_hold_up_nobody(gateway: Rig) -> None:
    context = ssl.create_default_context(cafile=str(gateway.ca))
    with ExitStack() as held:
        for number in range(120):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", gateway.plan.port), timeout=15))
            slow = held.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            slow.sendall(f"GET /login HTTP/1.1\r\nhost: localhost\r\nx-{number}: ".encode())
        began = time.monotonic()
        assert gateway.get("/login").status_code == 200
        assert time.monotonic() - began < 5
    assert connection_manager(gateway.plan)["typed_config"]["request_headers_timeout"] == "10s"


def test_a_websocket_opens_nowhere_without_a_ticket(gateway: Rig) -> None:
    upgrade = (
        f"{HOST}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    for path in ("/patients", "/programs/x/screen", "/session/live"):
        answer = sent(gateway, f"GET {path} HTTP/1.1\r\n{upgrade}origin: https://localhost\r\n\r\n".encode(), seconds=1)
        assert answer.split(b" ", 2)[1] in (b"401", b"403"), (path, answer[:80])


POLICY: Final = ("default-src 'none'", "script-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'")


def test_headers_are_those_that_a_scanner_asks_for(gateway: Rig) -> None:
    for path, ticket in (("/login", None), ("/patients", gateway.ticket(0)), ("/patients", None), ("/login;x", None)):
        headers = gateway.get(path, ticket).headers
        policy = headers["content-security-policy"]
        assert all(one in policy for one in POLICY), path
        assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "*" not in policy  # noqa: PT018
        wanted = {
            "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin", "server": "cloister",
        }  # fmt: skip
        assert {name: headers.get(name) for name in wanted} == wanted, path
        assert int(headers["strict-transport-security"].removeprefix("max-age=")) >= 31_536_000
        assert not {"x-powered-by", "via", "x-envoy-upstream-service-time"} & set(headers)
