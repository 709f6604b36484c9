"""The store gate as a process of its own: database arguments, socket path and tokens come as JSON in argv[1]."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from cloister.records.gate import CheckpointKey, run_gate
from cloister.zones import algorithms

given = json.loads(sys.argv[1])
seed = bytes.fromhex(given["checkpoint_seed"])
public = algorithms.sign_public(seed)
key = CheckpointKey(
    trust=given["trust"],
    sign=lambda message: algorithms.sign(seed, message),
    verify=lambda message, signature: algorithms.verify(public, message, signature),
)
asyncio.run(run_gate(given["database"], Path(given["socket"]), given["tokens"], checkpoint_key=key))
