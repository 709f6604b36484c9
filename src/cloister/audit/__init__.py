"""The append-only log of who did what: entries, their Merkle tree, signed checkpoints. Spec: docs/spec/zones.md 14.

Decides nothing about who may do what, and holds no keys: signing comes in as a callable.
"""

from cloister.audit import store
from cloister.audit.checkpoint import Checkpoint, verified_checkpoint
from cloister.audit.entry import Entry, entry_from_wire
from cloister.audit.log import Log, Row, resumed, verified_root
from cloister.audit.tree import Frontier, leaf_hash, verify_consistency, verify_inclusion

__all__ = [
    "Checkpoint",
    "Entry",
    "Frontier",
    "Log",
    "Row",
    "entry_from_wire",
    "leaf_hash",
    "resumed",
    "store",
    "verified_checkpoint",
    "verified_root",
    "verify_consistency",
    "verify_inclusion",
]
