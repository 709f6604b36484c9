"""Ids as types, and how new ones are made (RFC 9562 UUID version 7: time-ordered, random tail)."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import NewType

PersonId = NewType("PersonId", str)
ZoneId = NewType("ZoneId", str)
DossierId = NewType("DossierId", str)
SessionId = NewType("SessionId", str)
ServerId = NewType("ServerId", str)
HospitalId = NewType("HospitalId", str)


def new_uuid() -> uuid.UUID:
    """A version 7 UUID: 48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def new_id() -> str:
    return str(new_uuid())
