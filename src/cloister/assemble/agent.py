"""The agent's process, and the zygote that it starts: as root where possible, because it gives sessions their accounts."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from cloister.assemble import accounts
from cloister.assemble.folders import service_token
from cloister.assemble.machine import WIRE, About, about, credentials, write_about, write_controllers, write_revocations
from cloister.base.process import system_account
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.server import Agent, AgentPlan

NAME_CHARACTERS_MAX: Final = 63


class OwnEstate:
    """What the agent knows of the estate, and keeps for the next start and for this machine's Envoys."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._about: About = about(settings)
        self._credentials = credentials(settings)
        self.machine, self.address, self.port = settings.machine, settings.farm_address, settings.farm_port
        self.folder = str(settings.runtime)

    def controllers(self) -> Sequence[tuple[str, str, int]]:
        return [(one["id"], one["address"], one["port"] + WIRE) for one in self._about.controllers]

    def tls(self) -> ssl.SSLContext:
        return self._credentials.dialling()

    def learned(self, told: dict[str, Any]) -> None:
        """Which controllers there are, and whose certificates are refused."""
        found = tuple({name: one[name] for name in ("id", "address", "port", "keeper")} for one in told["controllers"])
        if found and found != self._about.controllers:
            self._about = replace(self._about, controllers=found)
            write_about(self._settings, self._about)
            write_controllers(self._settings, found)
        if told.get("revocations"):
            write_revocations(self._settings, bytes(told["revocations"]))


def run_server_agent(settings: Settings) -> None:
    edge, controller = accounts.sessions_account(settings), system_account(accounts.CONTROLLER)
    several = OwnEstate(settings) if settings.farm_address else None
    plan = AgentPlan(
        server=settings.machine if several else socket.gethostname()[:NAME_CHARACTERS_MAX] or "server",
        runtime=settings.runtime,
        slots=settings.slots,
        edge_uid=edge.uid,
        edge_gid=edge.gid,
        controller_uid=controller.uid,
        zygote_command=[sys.executable, "-m", "cloister.assemble", "zygote"],
        agent_token=Secret(service_token(settings, "agent").encode()),
        idle_lock_seconds=settings.idle_lock_seconds,
        linger_seconds=settings.linger_seconds,
        estate=several,
    )

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await Agent(plan).run(stop)

    asyncio.run(serve())
