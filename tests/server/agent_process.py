"""An agent of its own process, for tests that kill it. Its plan comes as JSON; SIGTERM ends its sessions."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from cloister.base.secret import Secret
from cloister.server import Agent, AgentPlan


async def main() -> None:
    plan = json.loads(sys.argv[1])
    plan["runtime"] = Path(plan["runtime"])
    plan["agent_token"] = Secret(plan["agent_token"].encode())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Agent(AgentPlan(**plan)).run(stop)


asyncio.run(main())
