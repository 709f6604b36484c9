"""Runs the baseline: a database of its own in the trust's PostgreSQL, a gate, session processes, Envoy with TLS in front.

A request's token says which process answers, as in the trust, but without any check of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.plaintext.gate import serve_gate
from benchmarks.plaintext.records import PlainRecords
from benchmarks.trust import BenchTrust, free_port
from cloister.assemble import postgres
from cloister.assemble.edge import envoy_program, plan_of, server_certificate
from cloister.base.migrations import read_migrations
from cloister.base.process import die_with_parent, return_free_memory
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.cli.place import Program, Trust
from cloister.gateway import Plan
from cloister.gateway.envoy.tls import transport_socket
from cloister.records import endpoint
from cloister.records.fhir.warming import warm
from cloister.server.session import http_config, serve_http

DATABASE: Final = "plaintext"
SCHEMA: Final = Path(__file__).parent / "schema.sql"
START_SECONDS_MAX: Final = 30.0


class PlainServer:
    """`async with PlainServer(trust, sessions=120) as plain`."""

    def __init__(self, trust: BenchTrust, *, sessions: int) -> None:
        self._trust = trust
        self._sessions = sessions
        self._folder = trust.settings.runtime / "plain"
        self._port = free_port()
        self._children: list[int] = []
        self._envoy: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:  # an edge: whatever happened, no process is left behind
            self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()

    async def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # sockets of an earlier one
        self._folder.mkdir(mode=0o755)
        await self._make_database()
        arguments = {**postgres.where(self._trust.settings, postgres.OWNER).arguments(), "database": DATABASE}
        warm()
        gc.collect()
        return_free_memory()
        gc.freeze()
        self._fork(lambda: serve_gate(self._folder / "gate.sock", arguments))
        for number in range(self._sessions):
            self._fork(lambda number=number: self._session(number))  # type: ignore[misc]
        self._start_envoy()
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await self._ready():
                await asyncio.sleep(0.05)

    async def _ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        sockets = [self._folder / "gate.sock", *(self._socket(number) for number in range(self._sessions))]
        return all(path.exists() for path in sockets)

    def _stop(self) -> None:
        if self._envoy is not None:
            self._envoy.terminate()
            self._envoy.wait(10)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    @property
    def processes(self) -> list[int]:
        """All of the baseline's, and those of the trust, whose PostgreSQL it uses."""
        return [*self._children, *([self._envoy.pid] if self._envoy is not None else []), *self._trust.processes]

    @property
    def port(self) -> int:
        return self._port

    def importer(self) -> Trust:
        program = Program(client_id="plain", client_secret=Secret(b"none"), hospital="plain")
        return Trust(base=f"https://localhost:{self._port}", ca=str(self._trust.settings.ca_file), program=program)

    def tokens(self) -> list[str]:
        return [f"plain-{number}" for number in range(self._sessions)]

    async def _make_database(self) -> None:
        connection = await postgres.owner_connection(self._trust.settings, "postgres")
        try:
            await connection.execute(f"drop database if exists {DATABASE}")
            await connection.execute(f"create database {DATABASE} template template0")
        finally:
            await connection.close()
        connection = await postgres.owner_connection(self._trust.settings, DATABASE)
        try:
            await connection.execute(SCHEMA.read_text())
            for migration in read_migrations("audit", Path(postgres.__file__).parents[1] / "audit" / "migrations"):
                await connection.execute(migration.sql)
        finally:
            await connection.close()

    def _fork(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pid = os.fork()
        if pid:
            self._children.append(pid)
            return
        code = 1
        try:
            # The parent's event loop came along with the fork; the child makes its own.
            asyncio.events._set_running_loop(None)
            die_with_parent(signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:  # as in a session and in the store gate
                loop.run(work())
            code = 0
        finally:
            os._exit(code)

    def _socket(self, number: int) -> Path:
        return self._folder / f"{number}.sock"

    async def _session(self, number: int) -> None:
        gc.enable()
        records = PlainRecords(Caller(self._folder / "gate.sock", part="plaintext gate"), f"plain-{number}")
        config = http_config(_application(records))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(str(self._socket(number)))
        os.chmod(self._socket(number), 0o666)
        listener.listen(1024)
        server = await serve_http(config, listener, None)
        await server.serve_forever()

    def _start_envoy(self) -> None:
        key, chain = server_certificate(self._trust.settings)
        plan = replace(
            plan_of(self._trust.settings),
            address="127.0.0.1",
            port=self._port,
            certificate_chain=self._folder / "chain.pem",
            private_key=self._folder / "key.pem",
            dynamic=None,  # its certificate does not change while it runs
        )
        plan.private_key.write_bytes(key)
        plan.certificate_chain.write_bytes(chain)
        (self._folder / "envoy.json").write_text(json.dumps(_bootstrap(plan, self._sessions, self._folder)))
        with (self._folder / "envoy.log").open("wb") as log:
            self._envoy = subprocess.Popen(
                [
                    str(envoy_program()),
                    *("-c", str(self._folder / "envoy.json"), "--disable-hot-restart", "--log-level", "warning"),
                    *("--concurrency", str(max(1, min(8, os.cpu_count() or 1)))),
                ],
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),
            )


def _application(records: PlainRecords) -> ASGIApp:
    async def token(request: Request) -> Response:
        label = str((await request.form()).get("session_label", ""))
        number = label.rpartition("-")[2]
        return JSONResponse({"access_token": f"plain-{number if number.isdigit() else 0}", "token_type": "Bearer", "expires_in": 600})

    async def end(request: Request) -> Response:
        return JSONResponse({})

    app = Starlette(routes=[Route("/oauth2/token", token, methods=["POST"]), Route("/session/end", end, methods=["POST"])])
    fhir = endpoint()

    async def with_records(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["records"] = records
        await (fhir if scope["path"].startswith("/fhir/") else app)(scope, receive, send)

    return with_records


def _bootstrap(plan: Plan, sessions: int, folder: Path) -> dict[str, Any]:
    """The gateway's TLS, one cluster a session, chosen by the token."""
    by_token = [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": "authorization", "string_match": {"exact": f"Bearer plain-{number}"}}],
            },
            "route": {"cluster": f"session-{number}", "timeout": "0s"},
        }
        for number in range(sessions)
    ]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "codec_type": "AUTO",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [*by_token, {"match": {"prefix": "/"}, "route": {"cluster": "session-0", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    clusters = [
        {
            "name": f"session-{number}",
            "type": "STATIC",
            "connect_timeout": "2s",
            "load_assignment": {
                "cluster_name": f"session-{number}",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(folder / f"{number}.sock")}}}}]}],
            },
        }
        for number in range(sessions)
    ]
    listener = {
        "name": "plain",
        "address": {"socket_address": {"address": plan.address, "port_value": plan.port}},
        "filter_chains": [
            {
                "transport_socket": transport_socket(plan),
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            }
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}
