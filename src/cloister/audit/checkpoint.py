"""Signed checkpoints of the audit tree. Spec: docs/spec/zones.md 14.

Whoever keeps an old checkpoint elsewhere (a folder, object lock, paper) notices a database that was rolled
back or rewritten. Signing and verifying come in as callables: this room knows no keys.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cloister.audit.tree import HASH_BYTES, Frontier
from cloister.base.errors import Corrupt

ORIGIN: Final = "cloister/audit-checkpoint/v1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], None]  # message, signature; raises when it is not the signer's


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The audit log had this many entries and this root at this time; `nodes` let the gate go on from here."""

    trust: str
    size: int
    root: bytes
    at: datetime
    signature: bytes
    nodes: bytes

    def message(self) -> bytes:
        return checkpoint_message(self.trust, self.size, self.root, self.at)

    def export(self) -> str:
        """The signed note as text, for a folder or paper: message, empty line, signature in Base64."""
        return f"{self.message().decode()}\n{base64.b64encode(self.signature).decode()}\n"


def checkpoint_message(trust: str, size: int, root: bytes, at: datetime) -> bytes:
    """Origin, trust, size, root in Base64, microseconds since 1970: a line each."""
    moment = (at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    return f"{ORIGIN}\n{trust}\n{size}\n{base64.b64encode(root).decode()}\n{moment}\n".encode()


def sign_checkpoint(trust: str, frontier: Frontier, at: datetime, sign: Sign) -> Checkpoint:
    root = frontier.root()
    return Checkpoint(trust, frontier.size, root, at, sign(checkpoint_message(trust, frontier.size, root, at)), frontier.to_bytes())


def verified_checkpoint(checkpoint: Checkpoint, verify: Verify) -> Frontier:
    """The frontier to go on from, if the signature holds and the kept nodes give the signed root."""
    if len(checkpoint.root) != HASH_BYTES:
        raise Corrupt("An audit checkpoint is not in the written form.", reason="checkpoint")
    verify(checkpoint.message(), checkpoint.signature)
    frontier = Frontier.from_bytes(checkpoint.nodes)
    if frontier.size != checkpoint.size or frontier.root() != checkpoint.root:
        raise Corrupt("An audit checkpoint's nodes do not give its root.", reason="checkpoint")
    return frontier
