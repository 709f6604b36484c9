"""Signed checkpoints of the audit tree (C2SP tlog-checkpoint). Spec: docs/spec/zones.md 14.

Whoever keeps an old checkpoint elsewhere (a witness, a folder, paper) notices a log that was cut, forked or rolled back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cloister.audit.note import Note, NoteKey, NoteSigner, parsed_note
from cloister.audit.tree import HASH_BYTES
from cloister.base.errors import Corrupt

SIZE_MAX: Final = 2**62


def origin_of(trust: str) -> str:
    """The name of a trust's log, in its first line and before its signatures."""
    return f"cloister.audit/{trust}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log had this many entries and this root at this time. `note` is what was signed, with its signatures."""

    origin: str
    size: int
    root: bytes
    at: datetime
    note: str

    @property
    def parsed(self) -> Note:
        return parsed_note(self.note)


def checkpoint_text(origin: str, size: int, root: bytes, at: datetime) -> str:
    """Origin, size, root; the time is an extension line, because a session must know a checkpoint's age from the log's own word."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\ntime {int(at.timestamp())}\n"


def signed_checkpoint(origin: str, size: int, root: bytes, at: datetime, signers: Iterable[NoteSigner]) -> Checkpoint:
    text = checkpoint_text(origin, size, root, at)
    return Checkpoint(origin, size, root, at.replace(microsecond=0), text + "\n" + "".join(signer.line(text) for signer in signers))


def parsed_checkpoint(note: str) -> Checkpoint:
    """What a note says, nothing verified; Corrupt(checkpoint) unless it is a checkpoint of this form."""
    lines = parsed_note(note).text[:-1].split("\n")
    try:
        origin, size, root, time = lines
        word, _, seconds = time.partition(" ")
        raw = base64.b64decode(root, validate=True)
        at = datetime.fromtimestamp(int(seconds), UTC)
        found = Checkpoint(origin, int(size), raw, at, note)
    except (ValueError, OverflowError, OSError, binascii.Error):
        raise _broken() from None
    exact = checkpoint_text(origin, found.size, raw, at) == "\n".join(lines) + "\n"
    if not exact or word != "time" or len(raw) != HASH_BYTES or not 0 <= found.size <= SIZE_MAX:
        raise _broken()
    return found


def verified_checkpoint(note: str, key: NoteKey) -> Checkpoint:
    """The checkpoint, if the log of this key signed it; Corrupt otherwise."""
    found = parsed_checkpoint(note)
    if found.origin != key.name:
        raise Corrupt("This checkpoint is of another audit log.", reason="origin")
    found.parsed.verified(key)
    return found


def _broken() -> Corrupt:
    return Corrupt("An audit checkpoint is not in the written form.", reason="checkpoint")
