"""Landlock (landlock(7)) without any rule: no file may be opened, no TCP used, no process outside be signalled.

The kernel enforces it on this process and all it could ever start; it cannot be taken back. Not covered by
Landlock: sockets with a path (their permissions guard them), UDP (the system-call filter refuses it).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from cloister.base.process import system_call

CREATE_RULESET: Final = 444
RESTRICT_SELF: Final = 446
VERSION_FLAG: Final = 1

# By ABI: the file rights that version knows (execute ... make_sym, refer, truncate, ioctl_dev).
_FILE_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_FILE_BITS_NEWEST: Final = 16
_TCP_BIND_AND_CONNECT: Final = 0b11  # since ABI 4
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11  # since ABI 6


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 when it has none."""
    try:
        return system_call(CREATE_RULESET, None, 0, VERSION_FLAG)
    except OSError:
        return 0


def forbid_files_and_tcp() -> list[str]:
    """Restrict this process for good; returns which parts this kernel is too old for. Needs no_new_privs."""
    version = landlock_version()
    if version == 0:
        return ["file rules of the kernel (Landlock): this kernel has none"]
    files = (1 << _FILE_BITS.get(version, _FILE_BITS_NEWEST)) - 1
    fields = [files]
    missing = []
    if version >= 4:
        fields.append(_TCP_BIND_AND_CONNECT)
    else:
        missing.append(f"TCP rules of the kernel: Landlock {version} is older than 4")
    if version >= 6:
        fields.append(_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    else:
        missing.append(f"signal scope of the kernel: Landlock {version} is older than 6")
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = system_call(CREATE_RULESET, ctypes.cast(buffer, ctypes.c_void_p), len(attributes), 0)
    try:
        system_call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return missing
