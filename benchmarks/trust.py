"""A throw-away trust, started as a user starts it, in a folder that is removed afterwards.

It is founded with more programs than the demo has, because a benchmark needs hundreds of sessions; everything else is
what `cloister up` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import httpx

from cloister.assemble import first_start, postgres
from cloister.assemble.edge import local_authority
from cloister.assemble.folders import claim_state, prepare_runtime
from cloister.assemble.running import environment
from cloister.base.secret import Secret
from cloister.base.settings import Settings, read_settings
from cloister.cli.place import Program, Trust
from cloister.demo import demo_plan
from cloister.identity import ProgramPlan, TrustPlan

BENCH_PROGRAMS: Final = 125  # with four sessions each
READY_SECONDS_MAX: Final = 120.0
PEOPLE: Final = 6


def bench_plan(seed: str | int) -> TrustPlan:
    """The demo with fewer people, none of whom opens a zone in need, and many programs, each of which opens the first hospital's zone."""
    plan = demo_plan(seed)
    hospital = plan.hospitals[0]
    zones = (hospital.id, *(ward.id for ward in hospital.wards))
    more = tuple(
        ProgramPlan(client_id=f"bench-{number:03}", name=f"Bench {number:03}", hospital=hospital.id, zones=zones)
        for number in range(BENCH_PROGRAMS)
    )
    offices = tuple(person for person in plan.people if not person.zones)
    hospitals = tuple(replace(one, glass=None, wards=tuple(replace(ward, glass=None) for ward in one.wards)) for one in plan.hospitals)
    return replace(plan, hospitals=hospitals, people=(*plan.people[:PEOPLE], *offices), programs=(*plan.programs, *more))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class BenchTrust:
    """`async with BenchTrust() as trust`: running when entered, gone when left; but `kept` is a folder that stays, and is resumed."""

    def __init__(self, plan: Callable[[str | int], TrustPlan] = bench_plan, *, kept: Path | None = None) -> None:
        self._plan = plan
        self._kept = kept is not None
        root = os.geteuid() == 0
        number = os.getpid()
        self.folder = kept or Path(tempfile.mkdtemp(prefix="cloister-bench-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        runtime = Path(f"/run/cloister-bench-{number}" if root else f"/tmp/cb-{number}")
        self.settings: Settings = read_settings(
            {
                "CLOISTER_STATE": str(self.folder / "state"),
                "CLOISTER_RUNTIME": str(runtime),
                "CLOISTER_PORT": str(free_port()),
                "CLOISTER_DEMO_PATIENTS": "0",
                "CLOISTER_IDLE_LOCK_SECONDS": "86400",
            }
        )
        self._up: subprocess.Popen[bytes] | None = None
        self._tokens: dict[tuple[str, str], str] = {}

    async def __aenter__(self) -> Self:
        if not first_start.sign_ins_file(self.settings).exists():
            await self._found()
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._up is not None:
            self._up.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(self._up.wait, 30)
            except subprocess.TimeoutExpired:
                self._up.kill()
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.settings.runtime, ignore_errors=True)

    async def _found(self) -> None:
        """As the first start does, with a plan of our own."""
        claim = claim_state(self.settings)
        prepare_runtime(self.settings)
        local_authority(self.settings)
        with (self.settings.logs / "bench-founding.log").open("wb") as log:
            database = subprocess.Popen(
                [sys.executable, "-m", "cloister.assemble", "postgres"], env=environment(self.settings), stdout=log, stderr=log
            )
        first_start.demo_plan = self._plan  # type: ignore[attr-defined]
        try:
            await postgres.wait_until_it_answers(self.settings)
            await postgres.bring_up_to_date(self.settings)
            await first_start.found_if_new(self.settings, lambda what, done, total: None)
        finally:
            first_start.demo_plan = demo_plan  # type: ignore[attr-defined]
            database.send_signal(signal.SIGINT)
            await asyncio.to_thread(database.wait, 30)
            claim.release()

    async def _start(self) -> None:
        self._log = (self.folder / "up.log").open("wb")
        self._up = subprocess.Popen(
            [sys.executable, "-m", "cloister.cli", "up"], env=environment(self.settings), stdout=self._log, stderr=self._log
        )
        began = time.monotonic()
        while True:
            if self._up.poll() is not None or time.monotonic() - began > READY_SECONDS_MAX:
                raise RuntimeError("the trust did not start:\n" + (self.folder / "up.log").read_text()[-2000:])
            try:
                async with httpx.AsyncClient(verify=self.tls(), trust_env=False) as client:
                    if (await client.get(f"{self.base}/fhir/R4/metadata")).status_code == 200:
                        return
            except (httpx.TransportError, FileNotFoundError):
                pass
            await asyncio.sleep(0.1)

    @property
    def processes(self) -> list[int]:
        """The supervisor, below which everything runs."""
        return [self._up.pid] if self._up is not None else []

    @property
    def base(self) -> str:
        return self.settings.base_url

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.settings.ca_file))

    def sign_ins(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(first_start.sign_ins_file(self.settings).read_text())
        return found

    def importer(self) -> Trust:
        """The trust as `cloister import` sees it."""
        one = self.sign_ins()["programs"][0]
        program = Program(client_id=one["client_id"], client_secret=Secret(one["client_secret"].encode()), hospital=one["hospital"])
        return Trust(base=self.base, ca=str(self.settings.ca_file), program=program)

    def bench_programs(self) -> list[tuple[str, str]]:
        """(client id, secret) of the programs that only benchmarks have."""
        return [(one["client_id"], one["client_secret"]) for one in self.sign_ins()["programs"] if one["client_id"].startswith("bench-")]

    async def token(self, client: httpx.AsyncClient, client_id: str, secret: str, label: str = "") -> str:
        """A token of a session that is open; started when there is none."""
        form = {"grant_type": "client_credentials", "session_label": label}
        reply = await client.post(f"{self.base}/oauth2/token", data=form, auth=(client_id, secret), timeout=60)
        reply.raise_for_status()
        token: str = reply.json()["access_token"]
        return token

    async def sessions(self, count: int) -> list[str]:
        """Tokens of `count` open sessions of as many programs as possible."""
        async with httpx.AsyncClient(verify=self.tls(), trust_env=False) as client:
            programs = self.bench_programs()
            return [
                await self.token(client, *programs[number % len(programs)], label=f"s{number // len(programs)}") for number in range(count)
            ]
