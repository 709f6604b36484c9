"""What a workstation says of itself: facts for policy, gathered from files, without rights and without asking anybody.

They are its own word. Whoever controls the workstation can say what they like; they keep honest machines honest.
"""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

VERSION = "1"
SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
CRYPTS = ("crypt",)


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """Facts that could not be told are left out."""
    found = {
        "system": _system(root),
        "kernel": platform.release(),
        "disk_encrypted": _disk_encrypted(),
        "secure_boot": _secure_boot(root),
        "agent": VERSION,
    }
    return {name: value for name, value in found.items() if value is not None}


def _system(root: Path) -> str | None:
    try:
        lines = (root / "etc/os-release").read_text().splitlines()
    except OSError:
        return platform.system() or None
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    return told.get("PRETTY_NAME", "").strip('"') or None


def _disk_encrypted() -> bool | None:
    """Whether the file system that people's files lie on has an encrypted device below it (lsblk(8))."""
    try:
        listed = subprocess.run(["lsblk", "--json", "-o", "TYPE,MOUNTPOINTS"], capture_output=True, timeout=5, check=True).stdout
        return _encrypted(json.loads(listed)["blockdevices"], below=False)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _encrypted(devices: list[dict[str, Any]], *, below: bool) -> bool | None:
    for device in devices:
        inside = below or device.get("type") in CRYPTS
        if set(device.get("mountpoints") or []) & {"/", "/home"}:
            return inside
        deeper = _encrypted(device.get("children") or [], below=inside)
        if deeper is not None:
            return deeper
    return None


def _secure_boot(root: Path) -> bool | None:
    try:
        return (root / "sys/firmware/efi/efivars" / SECURE_BOOT).read_bytes()[-1:] == b"\x01"
    except OSError:
        return None
