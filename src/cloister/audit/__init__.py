"""The append-only log of who did what: sealed entries, their Merkle tree, signed checkpoints. Spec: docs/spec/zones.md 14.

Decides nothing about who may do what, and knows no algorithm: sealing and signing come in as callables.
"""

from cloister.audit import checkpoint, entry, log, note, store, tree
from cloister.audit.checkpoint import Checkpoint, origin_of, signed_checkpoint, verified_checkpoint
from cloister.audit.entry import TRUST_OBJECT, DataKey, Entry, Sealed, opened_entry, sealed_entry
from cloister.audit.log import Log, Row, Walk, resumed
from cloister.audit.note import NoteKey, NoteSigner

__all__ = [
    "TRUST_OBJECT",
    "Checkpoint",
    "DataKey",
    "Entry",
    "Log",
    "NoteKey",
    "NoteSigner",
    "Row",
    "Sealed",
    "Walk",
    "checkpoint",
    "entry",
    "log",
    "note",
    "opened_entry",
    "origin_of",
    "resumed",
    "sealed_entry",
    "signed_checkpoint",
    "store",
    "tree",
    "verified_checkpoint",
]
