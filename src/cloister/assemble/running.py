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

from cloister.assemble import first_start, postgres, probes, restored
from cloister.assemble.edge import local_authority
from cloister.assemble.folders import check_port, claim_runtime, claim_state, log_tail, prepare_runtime
from cloister.assemble.gate import service_token
from cloister.assemble.roots import pinned_roots
from cloister.assemble.status import Board, missing_line
from cloister.assemble.supervisor import Part, Supervisor, ending
from cloister.assemble.witnessing import read_report, witness_line
from cloister.base.clock import system_clock
from cloister.base.database import LOST
from cloister.base.errors import EXIT_CODE, CloisterError
from cloister.base.process import adopt_orphans, is_root
from cloister.base.settings import Settings
from cloister.base.wire import Caller

TICK_SECONDS: Final = 1.0
REAP_EVERY: Final = 5
HEARD: Final = "select exists (select from estate.server where seen > now() - make_interval(secs => $1))"
FACTS: Final = """
    select (select coalesce(jsonb_object_agg(state, n), '{}') from
              (select state, count(*) as n from estate.session where state <> 'ended' group by state limit 10) s)::text as sessions,
           (select coalesce(jsonb_agg(distinct m), '[]') from estate.server, jsonb_array_elements_text(missing) m)::text as missing"""


def run_up(settings: Settings) -> int:
    """The exit code of `cloister up`."""
    board, claims = Board(settings), []
    os.umask(0o022)  # what must be private says so itself; folders on the way to sockets must not be
    try:
        claims.append(claim_state(settings))
        claims.append(claim_runtime(settings))
        prepare_runtime(settings)
        check_port(settings)
        adopt_orphans()
        return asyncio.run(Up(settings, board).run())
    except CloisterError as refused:
        return _refused(refused)
    finally:
        for claim in claims:
            claim.release()


def _refused(refused: CloisterError) -> int:
    print(f"error: {refused.text}" + (f"\nhint: {refused.hint}" if refused.hint else ""), file=sys.stderr)
    return EXIT_CODE[refused.category]


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

    async def run(self) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._work())
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            outcome = (await asyncio.gather(work, return_exceptions=True))[0]
        finally:
            asked.cancel()
            self._board.close()
            await self._stop()
        if isinstance(outcome, CloisterError):
            return _refused(outcome)
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
        return 0

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
            await asyncio.sleep(TICK_SECONDS)

    async def _start(self) -> None:
        settings, start, began = self._settings, self._supervisor.start, time.monotonic()
        self._board.tell(f"starting; state in {settings.state}")
        local_authority(settings)
        await start(Part("postgres", lambda: postgres.answers(settings), stop_signal=signal.SIGINT))
        applied = await postgres.bring_up_to_date(settings, lambda text: self._board.tell(f"database: {text}"))
        if applied:
            self._board.tell(f"database: {applied} migrations applied")
        await self._found()
        restore = await self._not_restored()
        await start(Part("witness", lambda: probes.listens(settings.socket("witness"))))
        await start(Part("gate", lambda: probes.listens(settings.socket("gate"))))
        await self._record(restore)
        await start(Part("controller", lambda: probes.controller_answers(settings)))
        await start(Part("agent", self._agent_answers))
        await start(Part("envoy", lambda: probes.edge_answers(settings)))
        await start(Part("witnessing", self._witnessed))
        if settings.mllp is not None and settings.mllp.port:
            mllp = settings.mllp
            await start(Part("mllp", lambda: probes.accepts(mllp.address, mllp.port), command=("cloister.cli", "mllp", "listen")))
            self._board.tell(f"HL7 v2 over MLLP: {mllp.address} port {mllp.port} ({mllp.transport})")
        self._board.tell(f"all parts run after {time.monotonic() - began:.1f} s")

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
        if missing and missing != self._board.facts.missing:
            self._board.tell(missing_line(missing))
        self._board.facts = replace(self._board.facts, sessions=json.loads(row["sessions"]), missing=missing, witnesses=witnesses)

    async def _stop(self) -> None:
        self._board.tell("stopping")
        if self._database is not None:
            self._database.terminate()
        if self._import is not None and self._import.poll() is None:
            self._import.terminate()
        await self._supervisor.stop()
        self._board.tell("stopped; a further `cloister up` goes on with all data")
