"""The keeper of a program as the zygote forks it, in a process of its own: plan as JSON, listener as descriptor."""

from __future__ import annotations

import json
import socket
import sys

from cloister.server.programs.keeper import run_keeper
from cloister.server.programs.plan import plan_from_wire

run_keeper(plan_from_wire(json.loads(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
