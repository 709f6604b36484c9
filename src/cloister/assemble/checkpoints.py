"""The key that signs checkpoints of the audit log: in the store gate's process only; its public half in a file.

Spec: docs/spec/zones.md 14. Whoever keeps an old checkpoint and this public key elsewhere notices a log that was cut.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from cloister.assemble.folders import seed_file
from cloister.assemble.roots import pinned_roots
from cloister.base.errors import Corrupt
from cloister.base.settings import Settings
from cloister.records.gate import CheckpointKey
from cloister.zones import algorithms

SEED: Final = "audit.key"


def public_file(settings: Settings) -> Path:
    return settings.state / "public" / "audit.pub"


def checkpoint_key(settings: Settings) -> CheckpointKey:
    """Made at the first start; the public half is written beside the trust's roots."""
    private = algorithms.SignPrivate(seed_file(settings, SEED).reveal())
    path = public_file(settings)
    path.write_text(private.public.hex() + "\n")
    path.chmod(0o644)
    return CheckpointKey(pinned_roots(settings).trust_id, private.sign, partial(algorithms.verify, private.public))


def verify_checkpoint(settings: Settings, message: bytes, signature: bytes) -> None:
    """Returns when this trust's gate signed the message; raises Corrupt otherwise."""
    try:
        public = bytes.fromhex(public_file(settings).read_text())
    except (OSError, ValueError) as wrong:
        raise Corrupt(f"The audit log's public key cannot be read from {public_file(settings)}.", hint="Restore it from a copy.") from wrong
    algorithms.verify(public, message, signature)
