"""The agent's process, and the zygote that it starts: as root where possible, because it gives sessions their accounts."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Final

from cloister.assemble.controller import ACCOUNT as CONTROLLER_ACCOUNT
from cloister.assemble.edge import ACCOUNT as EDGE_ACCOUNT
from cloister.assemble.gate import service_token
from cloister.base.process import system_account
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.server import Agent, AgentPlan

NAME_CHARACTERS_MAX: Final = 63


def run_server_agent(settings: Settings) -> None:
    edge, controller = system_account(EDGE_ACCOUNT), system_account(CONTROLLER_ACCOUNT)
    plan = AgentPlan(
        server=socket.gethostname()[:NAME_CHARACTERS_MAX] or "server",
        runtime=settings.runtime,
        slots=settings.slots,
        edge_uid=edge.uid,
        edge_gid=edge.gid,
        controller_uid=controller.uid,
        zygote_command=[sys.executable, "-m", "cloister.assemble", "zygote"],
        agent_token=Secret(service_token(settings, "agent").encode()),
        idle_lock_seconds=settings.idle_lock_seconds,
        linger_seconds=settings.linger_seconds,
    )

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await Agent(plan).run(stop)

    asyncio.run(serve())
