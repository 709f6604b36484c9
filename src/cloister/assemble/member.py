"""`cloister server run`: a machine that joined, until Ctrl-C: ingress, store gate, agent; on a controller also door and edge."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from typing import Final

from cloister.assemble import accounts, edge, joining, machine, probes
from cloister.assemble.folders import check_port, claim_runtime, claim_state, prepare_runtime
from cloister.assemble.ingress import admin_socket
from cloister.assemble.running import environment
from cloister.assemble.status import Board
from cloister.assemble.supervisor import Part, Supervisor
from cloister.assemble.until_stopped import refused_to_start, until_stopped
from cloister.base.errors import CloisterError
from cloister.base.process import adopt_orphans, own_account, system_account
from cloister.base.settings import Settings

TICK_SECONDS: Final = 1.0
REAP_EVERY: Final = 5
REFRESH_EVERY: Final = 60
TRUST_WIDE: Final = ("host", "port", "idle_lock_seconds", "linger_seconds", "checkpoint_age_seconds", "known_profiles_only")


def member_settings(settings: Settings) -> Settings:
    """This machine's settings, with what the estate said when it joined; its own address may be set anew."""
    found = machine.about(settings)
    known = {name: found.trust[name] for name in TRUST_WIDE if name in found.trust}
    address = settings.farm_address or str(found.trust["farm_address"])
    return replace(settings, **known, machine=found.name, farm_address=address)


def run_member(settings: Settings) -> int:
    """The exit code."""
    claims = []
    os.umask(0o022)
    try:
        own = member_settings(settings)
        claims.append(claim_state(own))
        claims.append(claim_runtime(own))
        prepare_runtime(own)
        check_port(replace(own, address=own.farm_address, port=own.farm_port))
        adopt_orphans()
        return asyncio.run(Member(own, Board(own)).run())
    except CloisterError as refused:
        return refused_to_start(refused)
    finally:
        for claim in claims:
            claim.release()


class Member:
    def __init__(self, settings: Settings, board: Board) -> None:
        self._settings = settings
        self._board = board
        self._about = machine.about(settings)
        self._supervisor = Supervisor(settings, environment(settings), board.tell)

    async def run(self) -> int:
        return await until_stopped(self._work(), self._stop)

    async def _stop(self) -> None:
        self._board.close()
        self._board.tell("stopping")
        await self._supervisor.stop()
        self._board.tell("stopped")

    async def _work(self) -> None:
        await self._start()
        fresh = asyncio.create_task(joining.keep_fresh(self._settings, self._board.tell))
        try:
            self._board.facts.ready = True
            kind = "controller" if self._about.controller else "server"
            self._board.tell(f"ready: {kind} '{self._about.name}' at {self._settings.farm_address} port {self._settings.farm_port}")
            self._board.open(self._supervisor.parts)
            for tick in range(sys.maxsize):
                self._board.refresh(self._supervisor.parts)
                if tick % REAP_EVERY == 0:
                    self._supervisor.reap()
                if self._about.controller and tick % REFRESH_EVERY == 0:
                    edge.keep_fresh(self._settings, self._board.tell)
                await asyncio.sleep(TICK_SECONDS)
        finally:
            fresh.cancel()

    async def _start(self) -> None:
        settings, start, began = self._settings, self._supervisor.start, time.monotonic()
        owner = system_account(accounts.CONTROLLER) if self._about.controller else own_account()
        machine.prepare_folder(settings, owner)
        # A machine that was off for long has an old list of refused certificates: a renewal and its agent bring new ones.
        await start(Part("ingress", lambda: probes.http_ok(admin_socket(settings), "/server_info")))
        await start(Part("gate", lambda: probes.listens(settings.socket("gate"))))
        if self._about.controller:
            await start(Part("controller", lambda: probes.controller_answers(settings)))
        await start(Part("agent", lambda: probes.listens(settings.socket("agent"))))
        if self._about.controller:
            await start(Part("envoy", lambda: probes.edge_answers(settings)))
        self._board.tell(f"all parts run after {time.monotonic() - began:.1f} s")
