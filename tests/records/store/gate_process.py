"""The store gate as a process of its own: database arguments, socket path and tokens come as JSON in argv[1]."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from cloister.records.gate import run_gate

sys.path.insert(0, str(Path(__file__).parents[2]))
from audit_rig import audit_keys_of  # noqa: E402

given = json.loads(sys.argv[1])
keys = audit_keys_of(given["trust"], bytes.fromhex(given["checkpoint_seed"]))
asyncio.run(run_gate(given["database"], Path(given["socket"]), given["tokens"], audit_keys=keys, replicas=given.get("replicas")))
