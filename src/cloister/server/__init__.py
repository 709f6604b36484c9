"""A server of the farm: its agent, the zygote, and sessions, one walled-in process a person. Knows no record.

await Agent(plan).run(stop)                                        # the agent's process
run_zygote(control_socket(fd), application=..., trust=..., warm=...)   # the zygote's; never returns
"""

from cloister.server import programs
from cloister.server.agent import Agent
from cloister.server.agent_plan import AgentPlan
from cloister.server.asks import Token
from cloister.server.runtime import SessionRuntime
from cloister.server.shell import Asgi
from cloister.server.zygote import Application, Warm, control_socket, run_zygote

__all__ = [
    "Agent",
    "AgentPlan",
    "Application",
    "Asgi",
    "SessionRuntime",
    "Token",
    "Warm",
    "control_socket",
    "programs",
    "run_zygote",
]
