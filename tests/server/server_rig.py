"""A whole server in a temporary folder: agent and zygote as real processes; the gate and the broker's store are fakes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import ticket_words
from small_trust import SmallTrust

from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.errors import Denied, NotFound
from cloister.base.process import is_root
from cloister.base.secret import Secret
from cloister.cli.key_bound import KeyBound
from cloister.farm import Bearer, Broker, MemoryStore, Started, Tickets
from cloister.zones import algorithms

HERE = Path(__file__).parent
TOKEN = "agent-token"
CLAIMS = ("sid", "person", "client", "scope", "grant", "pace", "x5t")


class FakeGate:
    """Knows which process is whose, as the real one does; serves rows from memory."""

    def __init__(self, path: Path, trust: SmallTrust) -> None:
        self._path = path
        self._trust = trust
        self.admitted: dict[int, dict[str, Any]] = {}
        self.notes: list[dict[str, Any]] = []
        self.news: list[tuple[str, str]] = []
        self.heard = asyncio.Event()
        self.refuses = False
        self._server: wire.Server | None = None

    async def start(self) -> None:
        self._server = await wire.serve(self._path, self._answer, mode=0o666)

    async def stop(self) -> None:
        """As when it is killed: it forgets everybody."""
        assert self._server is not None
        self._server.close()
        self._server.hang_up()
        await asyncio.sleep(0)
        self.admitted.clear()

    async def _answer(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if method in ("session_admit", "session_dismiss"):
            if arguments["token"] != TOKEN or self.refuses:
                raise Denied("This service is not known to the store gate.", reason="unknown-service")
            if method == "session_admit":
                self.admitted[arguments["pid"]] = arguments
            else:
                self.admitted = {pid: one for pid, one in self.admitted.items() if one["session"] != arguments["session"]}
            return None
        if method == "session_changes":
            if not self.news:
                self.heard = asyncio.Event()
                await self.heard.wait()
            news, self.news = self.news, []
            return news
        known = self.admitted.get(peer.pid)
        if known is None or known["uid"] != peer.uid:
            raise Denied("This process is no session of this server.", reason="unknown-process")
        if method == "audit_append":
            self.notes += [{**entry, "actor": known["person"]} for entry in arguments["entries"]]
            return None
        if method in ("trust_material", "trust_renewal"):
            return self._trust.rows(known["person"])
        raise NotFound("no such statement")


class Rig:
    def __init__(self, folder: Path, **plan: Any) -> None:
        self.folder = folder
        self.trust = SmallTrust()
        self.gate = FakeGate(folder / "gate.sock", self.trust)
        self.store = MemoryStore()
        self.agent_caller = wire.Caller(folder / "agent.sock", part="agent")
        self.seen: list[tuple[str, str]] = []  # (session, message)
        self.limits: dict[str, Any] = {}  # what the policy gives to sessions that start from now on
        self.broker = self._new_broker()
        roots = self.trust.roots
        pinned = {"id": roots.trust_id, "certificate": roots.certificate_root_public.hex(), "access": roots.access_root_public.hex()}
        self._environment = {**os.environ, "SMALL_TRUST": json.dumps(pinned), "PYTHONDONTWRITEBYTECODE": "1"}
        self._plan = {
            "server": "s1", "runtime": str(folder), "slots": 8, "edge_uid": os.geteuid(), "edge_gid": os.getegid(),
            "controller_uid": os.geteuid(), "zygote_command": [sys.executable, str(HERE / "zygote_process.py")], "agent_token": TOKEN,
            "idle_lock_seconds": 600, "linger_seconds": 3600, **plan,
        }  # fmt: skip
        self.agent: asyncio.subprocess.Process | None = None
        self._controller: asyncio.Server | None = None
        self.log = folder / "log"

    async def start(self) -> None:
        await self.gate.start()
        self._controller = await wire.serve(self.folder / "controller.sock", self.broker.answer, mode=0o600)
        await self.start_agent()

    async def start_agent(self) -> None:
        with self.log.open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "agent_process.py"), json.dumps(self._plan), env=self._environment, stderr=log, cwd=HERE
            )
        await self.until(lambda: self.store.heard_of("s1"))

    async def restart_controller(self) -> None:
        """As after a kill: connections are gone, a new broker reads the same store."""
        assert self._controller is not None
        self._controller.close()
        self._controller.hang_up()
        await asyncio.sleep(0)
        self.store.seen_servers.clear()
        self.broker = self._new_broker()
        self._controller = await wire.serve(self.folder / "controller.sock", self.broker.answer, mode=0o600)
        await self.until(lambda: self.store.heard_of("s1"))

    def _new_broker(self) -> Broker:
        return Broker(
            store=self.store,
            tickets=Tickets(Secret(algorithms.random(32)), clock=system_clock),
            agents=lambda server: self.agent_caller,
            destination=lambda server, slot: str(self.folder / "slots" / f"{slot}.sock"),
            agent_token=Secret(TOKEN.encode()),
            clock=system_clock,
            further={"message_seen": self._message_seen},
            limits=self._limits_of,
        )

    async def _message_seen(self, session: Any, words: dict[str, Any]) -> dict[str, Any]:
        self.seen.append((session.id, words["message"]))
        return {}

    async def _limits_of(self, wanted: Any, server: str) -> dict[str, Any]:
        return self.limits

    async def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        await self.agent.wait()
        self.store.seen_servers.clear()

    async def stop(self) -> None:
        if self.agent is not None and self.agent.returncode is None:
            self.agent.terminate()
            await asyncio.wait_for(self.agent.wait(), 20)

    async def until(self, holds: Callable[[], Any], seconds: float = 15.0) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not holds():
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"not within {seconds} s; log:\n{self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.02)

    async def listed(self) -> dict[str, dict[str, Any]]:
        report = await self.agent_caller.call("list")
        return {entry["session"]: entry for entry in report["sessions"]}

    async def sign_in(self, person: str, role: str = "nurse", kind: str = "person", label: str = "") -> Browser:
        key = KeyBound()
        to = Bearer(jkt=key.key.jkt) if kind == "person" else Bearer()
        return Browser(self, person, await self.broker.start_session(person, role, kind, label, to=to), key)

    async def open(self, person: str, **more: str) -> Browser:
        browser = await self.sign_in(person, **more)
        assert (await browser.unlock()).status_code == 200
        return browser


class Browser:
    """One person's browser behind Envoy: sends what Envoy would send for its ticket."""

    def __init__(self, rig: Rig, person: str, started: Started, key: KeyBound) -> None:
        self.rig, self.key = rig, key
        self.person = person
        self.started = started
        claims = json.loads(_unpadded(started.ticket.split(".")[1]))
        self.epoch, self.jkt = claims["epoch"], claims.get("cnf", {}).get("jkt", "")
        self.expires = 0
        path = rig.folder / "slots" / f"{started.slot}.sock"
        self.http = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://session", timeout=20, auth=key)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=self._headers(headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self._headers(headers))

    async def attempt(self, what: str, on: object = "") -> str:
        try:
            return (await self.http.get(f"/try/{what}", params={"on": str(on)}, headers=self._headers({}))).text
        except httpx.TransportError:
            return "died"

    async def unlock(self, public_key: bytes | None = None, kek: bytes | None = None) -> httpx.Response:
        sealed = self.rig.trust.unlock_message(self.person, self.started.session, public_key or self.started.public_key, kek=kek)
        return await self.post("/session/unlock", {"unlocker": f"u-{self.person}", "sealed": b64encode(sealed).decode()})

    async def pid(self) -> int:
        return int((await self.rig.listed())[self.started.session]["pid"])

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        """`more`: claims of the ticket by their names, and headers."""
        said = {"sid": self.started.session, "epoch": self.epoch, "person": self.person, "jkt": self.jkt, "exp": int(self.expires)}
        said |= {name: more.pop(name) for name in CLAIMS if name in more}
        return {ticket_words.HEADER: ticket_words.payload(**said), **{name.replace("_", "-"): value for name, value in more.items()}}


def _unpadded(text: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def running_server(**plan: Any) -> AsyncIterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-s-", dir="/tmp"))
    folder.chmod(0o711)
    rig = Rig(folder, **plan)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()
        if os.environ.get("CLOISTER_TEST_LOG"):
            print(rig.log.read_text())
        shutil.rmtree(folder, ignore_errors=True)


NEEDS_ROOT = not is_root()
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")  # what its tests share (conftest.py) lives in the loop that made it
