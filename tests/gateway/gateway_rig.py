"""A real Envoy in front of a small door and small sessions: what the gateway's tests knock at."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cloister.assemble.edge import envoy_program
from cloister.base.clock import system_clock
from cloister.base.secret import Secret
from cloister.farm import Tickets
from cloister.gateway import Plan, bootstrap, followed_files, serve_application
from cloister.zones import algorithms, certificates

CARDS: Final = "card.localhost"  # where a certificate is asked for
SLOTS: Final = 4  # declared; only the first two are served
ADELE, YANIS = "session-of-adele", "session-of-yanis"


@dataclass(frozen=True)
class Rig:
    """One running gateway."""

    base: str
    ca: Path
    plan: Plan
    tickets: Tickets
    stranger: Tickets  # signs with a key that the door does not publish
    authority: tuple[bytes, bytes]

    def follow(self) -> None:
        """Write anew what Envoy follows, as a reload does."""
        write_followed(self.plan)

    def stats(self, wanted: str) -> dict[str, int]:
        """Envoy's counters whose name holds `wanted`."""
        transport = httpx.HTTPTransport(uds=str(self.plan.admin_socket))
        with httpx.Client(transport=transport, base_url="http://admin") as admin:
            lines = admin.get("/stats").text.splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines) if wanted in name and value.isdigit()}

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base, verify=ssl.create_default_context(cafile=str(self.ca)), timeout=10, **options)

    def ticket(
        self, slot: int = 0, *, session: str = ADELE, seconds: int = 600, destination: str | None = None, by: Tickets | None = None
    ) -> str:
        where = destination if destination is not None else self.plan.slot(slot)
        return (by or self.tickets).issue(session=session, destination=where, slot=slot, person="adele", epoch=3, seconds=seconds)

    def get(self, path: str, ticket: str | None = None, **headers: str) -> httpx.Response:
        """With the ticket as cookie, as a browser sends it."""
        with self.client() as client:
            cookie = {"cookie": f"__Host-ticket={ticket}"} if ticket else {}
            return client.get(path, headers={**cookie, **{name.replace("_", "-"): value for name, value in headers.items()}})


def write_followed(plan: Plan) -> None:
    assert plan.dynamic is not None
    for name, content in followed_files(plan).items():
        fresh = plan.dynamic / f".{name}"
        fresh.write_text(json.dumps(content))
        fresh.rename(plan.dynamic / name)


def _echo(name: str) -> Starlette:
    async def echo(request: Request) -> Response:
        if request.url.path.endswith("/slow"):
            return StreamingResponse(_slowly(), media_type="text/plain")
        return JSONResponse({"served_by": name, "path": request.url.path, "headers": dict(request.headers)})

    return Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])


async def _slowly() -> AsyncIterator[str]:
    for number in range(30):
        yield f"{number}\n"
        await asyncio.sleep(0.1)


def _door(tickets: Tickets) -> Starlette:
    async def keys(request: Request) -> Response:
        return JSONResponse(tickets.jwks())

    return Starlette(routes=[Route("/login/keys", keys), *_echo("door").routes])


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    listener.setblocking(False)
    return listener


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serving(applications: dict[Path, Starlette]) -> Iterator[None]:
    """The door and the sessions, in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()

    async def start() -> None:
        for path, application in applications.items():
            await serve_application(application, _listen(path))

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextmanager
def running_gateway() -> Iterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-gw-", dir="/tmp"))
    (folder / "slots").mkdir()
    authority_key, authority = certificates.new_tls_ca("Test authority")
    key, chain = certificates.tls_certificate(authority_key, authority, ["localhost", "127.0.0.1", CARDS], 2)
    for name, content in (("ca.pem", authority), ("key.pem", key), ("chain.pem", chain)):
        (folder / name).write_bytes(content)
    plan = Plan(
        address="127.0.0.1", port=free_port(), slots_folder=folder / "slots", slots=SLOTS, door_socket=folder / "door.sock",
        admin_socket=folder / "admin.sock", certificate_chain=folder / "chain.pem", private_key=folder / "key.pem", strict_transport=True,
        dynamic=folder / "followed", http3=True, card_name=CARDS, address_requests_per_second=400,
    )  # fmt: skip
    (folder / "followed").mkdir()
    write_followed(plan)
    (folder / "envoy.json").write_text(json.dumps(bootstrap(plan)))
    tickets, stranger = (Tickets(Secret(algorithms.random(32)), clock=system_clock) for _ in range(2))
    sessions = {Path(plan.slot(n)): _echo(f"slot {n}") for n in (0, 1)}
    with _serving({plan.door_socket: _door(tickets), **sessions}):
        command = [str(envoy_program()), "-c", str(folder / "envoy.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        envoy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(plan.port, envoy)
            yield Rig(f"https://localhost:{plan.port}", folder / "ca.pem", plan, tickets, stranger, (authority_key, authority))
        finally:
            envoy.terminate()
            envoy.wait(10)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, envoy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert envoy.poll() is None, "Envoy refused its configuration"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("Envoy does not listen")
