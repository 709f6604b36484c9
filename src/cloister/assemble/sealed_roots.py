"""The two roots' private halves on disk: each sealed under its own passphrase, never in clear. Spec: docs/spec/zones.md.

`certificate-root.sealed` and `access-root.sealed` may be carried away to two safes; nothing that
runs reads them. The next mandate is signed with what `open_root` gives back.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Corrupt, NotFound
from cloister.base.secret import Secret
from cloister.zones import unlockers

FORM: Final = "cloister/sealed-root/v1"
ROOTS: Final = ("certificate", "access")
FILE_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRoot:
    """One root's file. Trust and office are bound into the seal: a swapped file does not open."""

    form: str
    trust: str
    root: str
    params: dict[str, Any]
    sealed: str  # base64


def root_path(folder: Path, root: str) -> Path:
    return folder / f"{root}-root.sealed"


def seal_root(trust: str, root: str, seed: Secret, passphrase: str) -> SealedRoot:
    params = unlockers.new_passphrase_params()
    kek, _ = unlockers.passphrase_secrets(passphrase, params)
    sealed = unlockers.wrap_unlock_key(kek, _name(root), trust, unlockers.UnlockerKind.PASSPHRASE, params, seed).sealed
    return SealedRoot(form=FORM, trust=trust, root=root, params=params, sealed=base64.b64encode(sealed).decode())


def open_root(folder: Path, root: str, passphrase: str, *, trust: str) -> Secret:
    """The root's seed; raises NotFound, Corrupt, or Forged(wrong-key) for a wrong passphrase and a changed file alike."""
    path = root_path(folder, root)
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(FILE_BYTES_MAX))
        held = SealedRoot(**body)
        sealed = base64.b64decode(held.sealed, validate=True)
    except FileNotFoundError:
        raise NotFound(f"There is no {root} root in {folder}.", hint="Bring its file from the safe.") from None
    except (OSError, ValueError, TypeError, binascii.Error) as fault:
        raise Corrupt(f"The file of the {root} root cannot be read.", hint="Use its other copy.") from fault
    if held.form != FORM:
        raise Corrupt(f"The file of the {root} root is of another form.", hint="Use its other copy.")
    kek, _ = unlockers.passphrase_secrets(passphrase, held.params)
    kind = unlockers.UnlockerKind.PASSPHRASE
    return unlockers.unwrap_unlock_key(kek, unlockers.Unlocker(_name(root), trust, kind, held.params, sealed))


def write_roots(folder: Path, sealed: Sequence[SealedRoot]) -> list[Path]:
    """Each in a new file of its own, readable by its owner only, and on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = []
    for one in sealed:
        path = root_path(folder, one.root)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(one), file)
            file.flush()
            os.fsync(file.fileno())
        written.append(path)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return written


def put_aside(folder: Path, now: datetime) -> None:
    """Roots of another trust, or of a ceremony that broke off, are kept under another name, never overwritten."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    for root in ROOTS:
        path = root_path(folder, root)
        if path.exists():
            path.rename(path.with_name(f"{path.name}.{stamp}"))


def _name(root: str) -> str:
    return f"root/{root}"
