"""Landlock (landlock(7)): no file may be opened, no TCP used, no process outside be signalled; in a session without any exception.

The kernel enforces it on this process and all it could ever start; it cannot be taken back. Not covered by
Landlock: sockets with a path (their permissions guard them), UDP (the system-call filter refuses it).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

from cloister.base.process import system_call

CREATE_RULESET: Final = 444
ADD_RULE: Final = 445
RESTRICT_SELF: Final = 446
RULE_PATH_BENEATH: Final = 1
VERSION_FLAG: Final = 1

# By ABI: the file rights that version knows (execute ... make_sym, refer, truncate, ioctl_dev).
_FILE_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_FILE_BITS_NEWEST: Final = 16
_EXECUTE_AND_DEVICES: Final = 1 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 15  # execute, make_char, _sock, _fifo, _block, ioctl_dev
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
    return allow_only(())


def allow_only(folders: Iterable[int]) -> list[str]:
    """The same, but what lies below these open folders may be read, changed and made; nothing may be run."""
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
    ruleset = _called(CREATE_RULESET, struct.pack(f"={len(fields)}Q", *fields))
    try:
        for folder in folders:
            rule = ctypes.create_string_buffer(struct.pack("=Qi", files & ~_EXECUTE_AND_DEVICES, folder), 12)
            system_call(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.cast(rule, ctypes.c_void_p), 0)
        system_call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return missing


def _called(number: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return system_call(number, ctypes.cast(buffer, ctypes.c_void_p), len(attributes), 0)
