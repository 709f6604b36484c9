"""`cloister up`: the whole trust on this machine, in the foreground, until Ctrl-C.

PostgreSQL, then the schemas, then (once) the founding, then gate, controller, agent and Envoy; at the first start
the demo's patients come in through the running trust, as every other import would.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any, Final

import asyncpg

from cloister.assemble import accounts, edge, first_start, joining, machine, postgres, probes, restored, vpn
from cloister.assemble.acme import Renewing
from cloister.assemble.edge import checked, local_authority
from cloister.assemble.folders import check_port, claim_runtime, claim_state, log_tail, prepare_runtime, service_token
from cloister.assemble.ingress import admin_socket
from cloister.assemble.outbound_key import make_delivery_key
from cloister.assemble.roots import pinned_roots
from cloister.assemble.status import Board, missing_line
from cloister.assemble.supervisor import Part, Supervisor, ending
from cloister.assemble.until_stopped import refused_to_start, until_stopped
from cloister.assemble.witnessing import read_report, witness_line
from cloister.base.clock import system_clock
from cloister.base.database import LOST
from cloister.base.errors import CloisterError
from cloister.base.process import adopt_orphans, is_root, system_account
from cloister.base.settings import Settings
from cloister.base.wire import Caller
from cloister.farm import canary

TICK_SECONDS: Final = 1.0
REAP_EVERY: Final = 5
REFRESH_EVERY: Final = 60
HEARD: Final = "select exists (select from estate.server where seen > now() - make_interval(secs => $1))"
FACTS: Final = f"""
    select (select coalesce(jsonb_object_agg(state, n), '{{}}') from
              (select state, count(*) as n from estate.session where state <> 'ended' group by state limit 10) s)::text as sessions,
           (select coalesce(jsonb_agg(distinct m), '[]') from estate.server, jsonb_array_elements_text(missing) m)::text as missing,
           (select what from ({canary.LAST}) c) as canary"""


def run_up(settings: Settings) -> int:
    """The exit code of `cloister up`."""
    board, claims = Board(settings), []
    os.umask(0o022)  # what must be private says so itself; folders on the way to sockets must not be
    try:
        claims.append(claim_state(settings))
        claims.append(claim_runtime(settings))
        prepare_runtime(settings)
        checked(settings)
        check_port(settings)
        adopt_orphans()
        return asyncio.run(Up(settings, board).run())
    except CloisterError as refused:
        return refused_to_start(refused)
    finally:
        for claim in claims:
            claim.release()


def environment(settings: Settings) -> dict[str, str]:
    """What the parts are told: this very `up`, whatever the caller's folder or variables were."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "HOME")
    }
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "CLOISTER_STATE": str(settings.state),
        "CLOISTER_RUNTIME": str(settings.runtime),
        "CLOISTER_ADDRESS": settings.address,
        "CLOISTER_PORT": str(settings.port),
        "CLOISTER_HOST": settings.host,
        "CLOISTER_SLOTS": str(settings.slots),
        "CLOISTER_DEMO_PATIENTS": str(settings.demo_patients),
        "CLOISTER_IDLE_LOCK_SECONDS": str(settings.idle_lock_seconds),
        "CLOISTER_LINGER_SECONDS": str(settings.linger_seconds),
        "CLOISTER_CHECKPOINT_AGE_SECONDS": str(settings.checkpoint_age_seconds),
        "CLOISTER_WITNESSES": " ".join(settings.witnesses),
        **{name: value for name, value in os.environ.items() if name.startswith("CLOISTER_REPLICA")},
        "CLOISTER_DELIVERY_TRIES": str(settings.delivery_tries),
        "CLOISTER_FARM_ADDRESS": settings.farm_address,
        "CLOISTER_FARM_PORT": str(settings.farm_port),
        "CLOISTER_MACHINE": settings.machine,
        "CLOISTER_MACHINE_CERTIFICATE_MINUTES": str(settings.certificate_minutes),
        "CLOISTER_HTTP3": "yes" if settings.http3 else "no",
        "CLOISTER_VPN_HOST": settings.vpn_host,
        "CLOISTER_CARD_HOST": settings.card_host,
        "CLOISTER_TLS_MIN": settings.tls_min,
        "CLOISTER_VPN_PORT": str(settings.vpn_port),
        "CLOISTER_TLS_CERTIFICATE": str(settings.tls_certificate or ""),
        "CLOISTER_TLS_KEY": str(settings.tls_key or ""),
        "CLOISTER_ACME_DIRECTORY": settings.acme_directory,
        "CLOISTER_ACME_EMAIL": settings.acme_email,
        "CLOISTER_ACME_CA": str(settings.acme_ca or ""),
        "CLOISTER_ACME_PORT": str(settings.acme_port),
        "CLOISTER_KNOWN_PROFILES_ONLY": "yes" if settings.known_profiles_only else "no",
        **{name: value for name, value in os.environ.items() if name.startswith("CLOISTER_MLLP_")},
    }


class Up:
    def __init__(self, settings: Settings, board: Board) -> None:
        self._settings = settings
        self._board = board
        self._supervisor = Supervisor(settings, environment(settings), board.tell)
        self._import: subprocess.Popen[bytes] | None = None
        self._database: asyncpg.Connection[Any] | None = None
        self._fresh: asyncio.Task[None] | None = None
        self._acme: Renewing | None = None
        if settings.acme_directory:
            self._acme = Renewing(settings, self._supervisor, board.tell, self._refresh_edge)

    async def run(self) -> int:
        return await until_stopped(self._work(), self._end)

    async def _end(self) -> None:
        self._board.close()
        await self._stop()

    async def _work(self) -> None:
        await self._start()
        self._board.facts.ready = True
        self._board.tell(f"ready: {self._settings.base_url}  (certificate authority: {self._settings.ca_file})")
        self._warn()
        self._begin_import()
        self._board.open(self._supervisor.parts)
        for tick in range(sys.maxsize):
            self._follow_import()
            await self._look()
            self._board.refresh(self._supervisor.parts)
            if tick % REAP_EVERY == 0:
                self._supervisor.reap()
            if self._acme is not None:
                self._acme.look()
            if tick % REFRESH_EVERY == 0:
                self._refresh_edge()
            await asyncio.sleep(TICK_SECONDS)

    def _refresh_edge(self) -> None:
        edge.keep_fresh(self._settings, self._board.tell)

    async def _vpn(self) -> None:
        lacking = vpn.missing()
        if lacking:
            self._board.tell(f"no VPN here: {', '.join(lacking)} is missing (docs/vpn.md)")
            return
        await self._supervisor.start(Part("vpn", lambda: probes.listens(vpn.place_of(self._settings).control)))
        self._board.tell(f"VPN: {self._settings.vpn_host}, on the gateway's port")

    async def _start(self) -> None:
        settings, start, began = self._settings, self._supervisor.start, time.monotonic()
        self._board.tell(f"starting; state in {settings.state}")
        local_authority(settings)
        if settings.vpn_host:
            vpn.authority(settings)
        make_delivery_key(settings)
        await start(Part("postgres", lambda: postgres.answers(settings), stop_signal=signal.SIGINT))
        applied = await postgres.bring_up_to_date(settings, lambda text: self._board.tell(f"database: {text}"))
        if applied:
            self._board.tell(f"database: {applied} migrations applied")
        await self._found()
        restore = await self._not_restored()
        if settings.farm_address:
            await self._found_estate()
        await start(
            Part("witness", lambda: probes.listens(settings.socket("witness"))),
            Part("gate", lambda: probes.listens(settings.socket("gate"))),
        )
        await self._record(restore)
        await start(Part("controller", lambda: probes.controller_answers(settings)), Part("agent", self._agent_answers))
        if settings.farm_address:
            await start(Part("ingress", lambda: probes.http_ok(admin_socket(settings), "/ready")))
            self._fresh = asyncio.create_task(joining.keep_fresh(settings, self._board.tell))
            self._board.tell(f"further machines may join at {settings.farm_address} port {settings.farm_port + machine.WIRE}")
        await start(Part("envoy", lambda: probes.edge_answers(settings)))
        if settings.vpn_host:
            await self._vpn()
        await start(Part("witnessing", self._witnessed), Part("outbound", lambda: probes.listens(settings.socket("outbound"))))
        if settings.mllp is not None and settings.mllp.port:
            mllp = settings.mllp
            await start(Part("mllp", lambda: probes.accepts(mllp.address, mllp.port), command=("cloister.cli", "mllp", "listen")))
            self._board.tell(f"HL7 v2 over MLLP: {mllp.address} port {mllp.port} ({mllp.transport})")
        self._board.tell(f"all parts run after {time.monotonic() - began:.1f} s")

    async def _found_estate(self) -> None:
        connection = await postgres.owner_connection(self._settings)
        try:
            await machine.found_estate(self._settings, connection)
        finally:
            await connection.close()
        machine.prepare_folder(self._settings, system_account(accounts.CONTROLLER))

    async def _not_restored(self) -> list[dict[str, str]]:
        """Waits, with only the database running, while it is older than what a witness holds and nobody has answered for it."""
        told = ""
        while True:
            connection = await postgres.owner_connection(self._settings)
            try:
                found = await restored.broken(self._settings, connection)
                if found is None:
                    return []
                words = await restored.words_for(connection, pinned_roots(self._settings), found)
            finally:
                await connection.close()
            if words:
                restored.tell_keepers(self._settings, found, words)
                self._board.tell(f"a restored database was accepted by {' and '.join(one.person for one in words)}")
                return restored.entries_of(found, words)
            if told != found.text():
                told = found.text()
                self._board.tell(f"{told} {found.hint()}")
            await asyncio.sleep(TICK_SECONDS)

    async def _record(self, entries: list[dict[str, str]]) -> None:
        if entries:
            gate = Caller(self._settings.socket("gate"), part="store gate")
            await gate.call("audit_append", token=service_token(self._settings, "controller"), entries=entries)
            gate.close()

    async def _witnessed(self) -> bool:
        return read_report(self._settings) is not None

    async def _agent_answers(self) -> bool:
        """It listens, and the controller has heard of it since it was started."""
        if not await probes.listens(self._settings.socket("agent")):
            return False
        started = next((part.since for part in self._supervisor.parts if part.name == "agent"), 0.0)
        connection = await postgres.owner_connection(self._settings)
        try:
            return bool(await connection.fetchval(HEARD, time.monotonic() - started))
        finally:
            await connection.close()

    async def _found(self) -> None:
        told = ""

        def progress(what: str, done: int, total: int) -> None:
            nonlocal told
            if what != told:
                told = what
                self._board.tell(f"founding the demo trust: {what}")

        founded = await first_start.found_if_new(self._settings, progress)
        first_start.refresh_address(self._settings)
        if founded is not None:
            first_start.show_sign_ins(self._settings, self._board)

    def _warn(self) -> None:
        if not is_root():
            self._board.tell(
                "protection missing: not root, so all parts and sessions run as this user; what separates people is then "
                "only what the kernel offers to one user (no dump, Landlock, seccomp)"
            )

    # --- the demo's patients, once ---------------------------------------------------------------

    def _begin_import(self) -> None:
        if self._settings.demo_patients and not first_start.imported_file(self._settings).exists():
            self._board.tell(f"importing {self._settings.demo_patients} demo patients; you can sign in meanwhile")
            self._import = self._supervisor.launch("demo", "cloister.cli", "demo", "--patients", str(self._settings.demo_patients))

    def _follow_import(self) -> None:
        if self._import is None:
            return
        code = self._import.poll()
        if code is None:
            self._board.facts = replace(self._board.facts, task="demo patients: " + log_tail(self._settings, "demo", 1)[-100:])
            return
        self._import = None
        self._board.facts = replace(self._board.facts, task="")
        if code == 0:
            first_start.imported_file(self._settings).touch()
            self._board.tell("demo patients: all imported")
        else:
            tail = log_tail(self._settings, "demo", 3)
            self._board.tell(f"demo patients: import ended ({ending(code)}); the next start goes on with it. {tail}")

    # --- looking and stopping ----------------------------------------------------------------------

    async def _look(self) -> None:
        """Sessions and missing protections, as the database has them; nothing while it is away."""
        try:
            if self._database is None or self._database.is_closed():
                self._database = await postgres.owner_connection(self._settings)
            row = await self._database.fetchrow(FACTS)
        except (*LOST, TimeoutError, asyncpg.PostgresError):
            self._database = None
            return
        missing = tuple(json.loads(row["missing"]))
        witnesses = witness_line(read_report(self._settings), system_clock())
        if witnesses and witnesses != self._board.facts.witnesses:
            self._board.tell(f"audit log: {witnesses}")
        crossed = str(row["canary"])
        if crossed and crossed != self._board.facts.crossed:
            self._board.tell(f"gateway canary: {crossed}")
        if missing and missing != self._board.facts.missing:
            self._board.tell(missing_line(missing))
        sessions = json.loads(row["sessions"])
        self._board.facts = replace(self._board.facts, sessions=sessions, missing=missing, witnesses=witnesses, crossed=crossed)

    async def _stop(self) -> None:
        self._board.tell("stopping")
        if self._fresh is not None:
            self._fresh.cancel()
        if self._database is not None:
            self._database.terminate()
        if self._import is not None and self._import.poll() is None:
            self._import.terminate()
        await self._supervisor.stop()
        self._board.tell("stopped; a further `cloister up` goes on with all data")
