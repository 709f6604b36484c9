"""Which witnesses this trust's audit log has: a program and a folder of this machine, and those that CLOISTER_WITNESSES names.

A witness on the same machine notices what happens to the database, not what its administrator does to both; one that
somebody else runs notices that too. The setting is a list of `name+key id+key@http://host:port` and `folder:/path`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.assemble.folders import seed_file
from cloister.audit import NoteKey, NoteSigner, note
from cloister.base.errors import Invalid
from cloister.base.settings import Settings
from cloister.zones import audit_keys

LOCAL: Final = "cloister.local/witness"
LOCAL_FOLDER: Final = "folder"
SEED: Final = "witness.key"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one witness is: a program behind a socket or address with its key, or a folder."""

    name: str
    key: NoteKey | None = None
    url: str = ""
    socket: Path | None = None
    folder: Path | None = None


def local_signer(settings: Settings) -> NoteSigner:
    return audit_keys.witness_signer(LOCAL, seed_file(settings, SEED).reveal())


def local_state(settings: Settings) -> Path:
    return settings.state / "witness"


def local_folder(settings: Settings) -> Path:
    return settings.state / "checkpoints"


def places(settings: Settings) -> list[Place]:
    """All that are expected; Invalid names the one that cannot be read."""
    found = [
        Place(LOCAL, local_signer(settings).key, socket=settings.socket("witness")),
        Place(LOCAL_FOLDER, folder=local_folder(settings)),
    ]
    return [*found, *map(_place, settings.witnesses)]


def _place(text: str) -> Place:
    if text.startswith("folder:/"):
        return Place(text, folder=Path(text.removeprefix("folder:")))
    key, mark, url = text.rpartition("@")
    if not mark or not url.startswith(("http://", "https://")):
        raise _unreadable(text)
    found = witness_key(key)
    return Place(found.name, found, url=url.rstrip("/"))


def witness_key(text: str) -> NoteKey:
    """The verifier key that `cloister witness key` prints; Invalid for anything else."""
    try:
        name, id, body = text.split("+", 2)  # Base64 has plus signs, a name has none
        raw = base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raise _unreadable(text) from None
    key = audit_keys.witness_key(name, raw[1:])
    if raw[:1] != note.COSIGNATURE or len(raw) != 33 or key.id.hex() != id:
        raise _unreadable(text)
    return key


def _unreadable(text: str) -> Invalid:
    hint = "Write what `cloister witness key` prints, then @ and its address; or folder: and an absolute path."
    return Invalid(f"CLOISTER_WITNESSES names no witness: '{text[:80]}'.", hint=hint)
